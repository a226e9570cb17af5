"""Logits of one position of each row only: what a decoder samples from.

After the last attention every operator works on each position alone, and nothing but the logits comes of it. So
the other positions are dropped right there, which spares a prefill the last layer's MLP as well as the head.

Which position is an input of the graph with a default, the last one: prompts of unequal length in one run are padded
behind, so each has its own. A runtime that does not know of the input need not give it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from autoglmctl.build import attention, graph
from autoglmd.model.graph_io import LOGITS_INDICES

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
    note = one_position_only(model)
    if note is None:
        unfinished = folder / f"{graph.MODEL_FILE}.new"
        ir.save(model, unfinished)
        unfinished.replace(folder / graph.MODEL_FILE)
    return note


def one_position_only(model: ir.Model) -> str | None:
    """Drop all positions but the wanted one behind the last attention; return why not, if that cannot be done."""
    last = attention.layers(model)[-1]
    after = _nodes_after(last.outputs[0])
    strange = sorted({node.op_type for node in after} - POSITION_WISE)
    if strange:
        return NOT_PRUNED.format(", ".join(strange))
    entrances = _entrances(after)
    wanted = _wanted_indices(model, last.outputs[0])
    for value in entrances:
        _keep_wanted(model, value, wanted, after)
    model.graph.sort()
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


def _wanted_indices(model: ir.Model, rows_of: ir.Value) -> ir.Value:
    """Add the input; return it as int64 `[rows, 1, 1]`. Its default has one entry, for all rows."""
    given = ir.Value(name=LOGITS_INDICES, const_value=ir.tensor(np.array([-1], dtype=np.int64), name=LOGITS_INDICES))
    given.type, given.shape = ir.TensorType(ir.DataType.INT64), ir.Shape(["logits_rows"])
    model.graph.initializers[LOGITS_INDICES] = given
    model.graph.inputs.append(given)
    axes = graph.constant(model, "prune.axes", np.array([1, 2], dtype=np.int64))
    rows = ir.node("Shape", [rows_of], {"start": 0, "end": 1}, name=f"{LOGITS_INDICES}/rows")
    each = ir.node("Expand", [given, rows.outputs[0]], name=f"{LOGITS_INDICES}/each")
    column = ir.node("Unsqueeze", [each.outputs[0], axes], name=f"{LOGITS_INDICES}/column")
    _append(model, rows, each, column)
    return column.outputs[0]


def _keep_wanted(model: ir.Model, value: ir.Value, wanted: ir.Value, users: set[ir.Node]) -> None:
    gather = ir.node("GatherND", [value, wanted], {"batch_dims": 1}, name=f"{value.name}/wanted/GatherND")
    uses = [use for use in value.uses() if use.node in users]
    for node, index in uses:
        node.replace_input_with(index, gather.outputs[0])
    _append(model, gather)


def _append(model: ir.Model, *nodes: ir.Node) -> None:
    for node in nodes:
        node.outputs[0].name = f"{node.name}/output_0"
    model.graph.extend(nodes)


def _shorten(value: ir.Value) -> None:
    if value.shape is not None and len(value.shape) == 3:
        value.shape = ir.Shape([value.shape[0], 1, value.shape[2]])
