"""Logits of the last position only: what a decoder samples from.

After the last attention every operator works on each position alone, and nothing but the logits comes of it. So
the other positions are dropped right there, which spares a prefill the last layer's MLP as well as the head.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from autoglmctl.build import graph

POSITION_WISE = frozenset(
    (
        "Abs",
        "Add",
        "Cast",
        "Div",
        "FastGelu",
        "Gelu",
        "LayerNormalization",
        "MatMul",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "Max",
        "Mul",
        "QuantizeLinear",
        "QuickGelu",
        "ReduceMax",
        "Relu",
        "Sigmoid",
        "Silu",
        "SimplifiedLayerNormalization",
        "SkipLayerNormalization",
        "SkipSimplifiedLayerNormalization",
        "Sub",
        "Tanh",
        "Where",
    )
)
"""Operators that, as the builder uses them, never look at another position."""
NOT_PRUNED = "the logits are those of every position: after the last attention comes {}, which may look at others"


def prune_in_place(folder: Path) -> str | None:
    """Change the graph in `folder` (not its weights) to give logits `[rows, 1, vocabulary]`; or say why not."""
    model = graph.load(folder)
    note = last_position_only(model)
    if note is None:
        unfinished = folder / f"{graph.MODEL_FILE}.new"
        ir.save(model, unfinished)
        unfinished.replace(folder / graph.MODEL_FILE)
    return note


def last_position_only(model: ir.Model) -> str | None:
    """Drop all positions but the last behind the last attention; return why not, if that cannot be done."""
    attention = list(graph.nodes_of_type(model, "GroupQueryAttention"))[-1]
    after = _nodes_after(attention.outputs[0])
    strange = sorted({node.op_type for node in after} - POSITION_WISE)
    if strange:
        return NOT_PRUNED.format(", ".join(strange))
    for value in _entrances(after):
        _keep_last(model, value, after)
    for node in after:
        for output in node.outputs:
            _shorten(output)
    return None


def _nodes_after(value: ir.Value) -> set[ir.Node]:
    found: set[ir.Node] = set()
    waiting = [value]
    while waiting:
        users = {use.node for use in waiting.pop().uses()} - found
        found |= users
        waiting += [output for node in users for output in node.outputs]
    return found


def _entrances(nodes: set[ir.Node]) -> list[ir.Value]:
    """Return the activations that come into `nodes` from outside: the attention's output and the residual."""
    inputs = {value for node in nodes for value in node.inputs if value is not None and not _is_constant(value)}
    return sorted((value for value in inputs if value.producer() not in nodes), key=lambda value: value.name or "")


def _is_constant(value: ir.Value) -> bool:
    producer = value.producer()
    return value.const_value is not None or (producer is not None and producer.op_type == "Constant")


def _keep_last(model: ir.Model, value: ir.Value, users: set[ir.Node]) -> None:
    last = graph.constant(model, "prune.last", np.array(-1, dtype=np.int64))
    axis = graph.constant(model, "prune.axis", np.array([1], dtype=np.int64))
    gather = ir.node("Gather", [value, last], {"axis": 1}, name=f"{value.name}/last/Gather")
    unsqueeze = ir.node("Unsqueeze", [gather.outputs[0], axis], name=f"{value.name}/last/Unsqueeze")
    for node in (gather, unsqueeze):
        node.outputs[0].name = f"{node.name}/output_0"
    uses = [use for use in value.uses() if use.node in users]
    for node, index in uses:
        node.replace_input_with(index, unsqueeze.outputs[0])
    model.graph.extend([gather, unsqueeze])
    model.graph.sort()


def _shorten(value: ir.Value) -> None:
    if value.shape is not None and len(value.shape) == 3:
        value.shape = ir.Shape([value.shape[0], 1, value.shape[2]])
