"""The embedding table in 8 bits: the operator GatherBlockQuantized."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from autoglmctl.build import graph, groups
from autoglmctl.build.graph import CONTRIB


def quantize_embedding(model: ir.Model, group_size: int) -> str | None:
    """Replace the Gather of the token embeddings by GatherBlockQuantized; return why not, when it stays.

    A width that groups of 16 do not divide is something that the operator cannot do. A table tied to the head,
    which the builder reads through a Transpose, gets integers of its own: a byte per value instead of four.
    """
    node = _embedding_gather(model)
    if node is None:
        return "the graph looks token embeddings up in a way that is not known: kept in float32"
    table = _read_table(node)
    width = table.shape[1]
    group = groups.workable_group(width, group_size)
    if width % group:
        return f"the embedding's width {width} is not a multiple of {groups.SMALLEST_GROUP}: kept in float32"
    weights, scales = groups.quantize(table.T, group, limit=127)
    gather = ir.node(
        "GatherBlockQuantized",
        [
            graph.constant(model, "embed_tokens.weight_q8", weights.reshape(table.shape)),
            node.inputs[1],
            graph.constant(model, "embed_tokens.weight_scales", scales),
        ],
        {"bits": 8, "block_size": group, "gather_axis": 0, "quantize_axis": 1},
        domain=CONTRIB,
        name=f"{node.name}_quantized",
    )
    transpose = _tying_transpose(node)
    graph.replace(node, [gather])
    if transpose is not None:
        model.graph.remove(transpose, safe=True)
    return None


def _embedding_gather(model: ir.Model) -> ir.Node | None:
    for node in graph.nodes_of_type(model, "Gather"):
        table, indices = node.inputs[0], node.inputs[1]
        constant = table.const_value is not None or _tying_transpose(node) is not None
        if constant and indices.name == "input_ids":
            return node
    return None


def _tying_transpose(gather: ir.Node) -> ir.Node | None:
    """Return the Transpose through which a tied table is read, if there is one."""
    producer = gather.inputs[0].producer()
    if producer is None or producer.op_type != "Transpose" or producer.inputs[0].const_value is None:
        return None
    return producer


def _read_table(gather: ir.Node) -> np.ndarray:
    """Read the embeddings, float32 `[vocabulary, width]`."""
    transpose = _tying_transpose(gather)
    if transpose is not None:
        return np.asarray(graph.tensor_of(transpose.inputs[0]).numpy(), dtype=np.float32).T
    return np.asarray(graph.tensor_of(gather.inputs[0]).numpy(), dtype=np.float32)
