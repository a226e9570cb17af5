"""GroupQueryAttention as the model builder writes it."""

from __future__ import annotations

from enum import IntEnum

import onnx_ir as ir

OPERATOR = "GroupQueryAttention"


class Input(IntEnum):
    """Positions of the operator's inputs, onnxruntime 1.31."""

    QUERY = 0
    KEY = 1
    VALUE = 2
    PAST_KEY = 3
    PAST_VALUE = 4
    LENGTHS = 5
    TOTAL = 6
    COSINES = 7
    SINES = 8
    POSITIONS = 9
    BIAS = 10
    SINK = 11
    K_SCALE = 12
    V_SCALE = 13


def layers(model: ir.Model) -> list[ir.Node]:
    """Return the nodes that continue the KV cache, in the order of the graph: the operator, or a choice of two."""
    caches = {value.producer() for value in model.graph.outputs if (value.name or "").startswith("present.")}
    return [node for node in model.graph if node in caches]


def inputs_of(node: ir.Node) -> list[ir.Value | None]:
    """Return one entry per `Input`, and those behind that we do not know."""
    return [*node.inputs, *[None] * (len(Input) - len(node.inputs))]


def setting(node: ir.Node, name: str) -> int:
    """Return an integer attribute, 0 where it is not given."""
    return int(node.attributes.get_int(name, 0))


def turned_dimensions(node: ir.Node) -> int | None:
    """Return how many of a head's dimensions turn with the position; None if the graph does not say."""
    if not setting(node, "do_rotary"):
        return 0
    cosines = inputs_of(node)[Input.COSINES]
    if cosines is not None and cosines.const_value is None:
        cosines = _either(cosines)
    match cosines.shape[1] if cosines is not None and cosines.shape is not None else None:
        case int(half):
            return 2 * half
    return None


def _either(table: ir.Value) -> ir.Value:
    """Return one of the tables between which the graph chooses, as it does for LongRoPE; they are equally wide."""
    node = table.producer()
    if node is None or node.op_type != "If":
        return table
    chosen: ir.Value = node.attributes["then_branch"].as_graph().outputs[node.outputs.index(table)]
    return chosen
