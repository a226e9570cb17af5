"""The embedding table in 8 bits: the operator GatherBlockQuantized."""

from __future__ import annotations

import onnx_ir as ir

from autoglmctl.build import graph, groups
from autoglmctl.build.graph import CONTRIB


def quantize_embedding(model: ir.Model, group_size: int) -> str | None:
    """Replace the Gather of the token embeddings by GatherBlockQuantized.

    Returns why not, when it stays as it is: no such Gather (a table shared with the head is read through a
    Transpose), or a width that groups of 16 do not divide, which the operator cannot do.
    """
    node = _embedding_gather(model)
    if node is None:
        return "the embedding table is shared with lm_head or absent: kept in float32"
    table = graph.tensor_of(node.inputs[0]).numpy()
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
    graph.replace(node, [gather])
    return None


def _embedding_gather(model: ir.Model) -> ir.Node | None:
    for node in graph.nodes_of_type(model, "Gather"):
        table, indices = node.inputs[0], node.inputs[1]
        if table.const_value is not None and indices.name == "input_ids":
            return node
    return None
