"""A second way through attention, for prefills over an INT8 KV cache.

GroupQueryAttention's INT8 kernel reads a quarter of the bytes, which is what a decode waits for. It widens integers in
its innermost loop, which is what a prefill waits for: there it takes three to four times as long as the FP32 kernel. So
each layer gets both, in an `If`: one token per row goes through the INT8 kernel, several through the FP32 one, over a
past that is widened once. Both see the same values and write the same integers into the cache, in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from autoglmctl.build import attention, graph
from autoglmctl.build.attention import Input
from autoglmctl.build.graph import CONTRIB

_NOT_OF_FLOAT = frozenset(("do_rotary", "rotary_interleaved", "k_quant_type", "v_quant_type", "kv_cache_bit_width"))
_OUTPUTS = 3
_LOWEST, _HIGHEST = np.float32(-128), np.float32(127)


@dataclass(frozen=True)
class _Places:
    """Where a prefill's tokens go, the same for all layers.

    Attributes:
        is_prefill: bool `[1]`: whether the run has several tokens per row, and the cache has room for them. A runtime
            that lets the cache grow instead of giving it whole is served by the INT8 kernel.
        past: int64 `[1]`: positions before the run's. Rows that prefill together are all fresh.
        cells: int64 `[rows, kv_heads, tokens, 3]`: row, head and position of each new vector in a cache.
    """

    is_prefill: ir.Value
    past: ir.Value
    cells: ir.Value


def prefill_in_float(model: ir.Model) -> str | None:
    """Give every attention over INT8 keys and values its second way; or leave the graph alone and say why.

    The weights stay as they are.
    """
    nodes = attention.layers(model)
    strange = _strange(nodes)
    if strange:
        return f"prefills stay with the INT8 attention kernel, which is slower at them: {strange}"
    places = _add_places(model, nodes[0])
    for number, node in enumerate(nodes):
        _Layer(model, node, places, f"prefill/layers.{number}").branch()
    return None


def _strange(nodes: list[ir.Node]) -> str | None:
    """Tell what of these attentions could not be said to the second kernel."""
    if len({attention.setting(node, "kv_num_heads") for node in nodes}) > 1:
        return "layers differ in their number of KV heads"
    for node in nodes:
        given = attention.inputs_of(node)
        if given[Input.POSITIONS] is not None or any(each is not None for each in given[len(Input) :]):
            return f"{node.name} has inputs that are not known here"
        if len(node.outputs) != _OUTPUTS:
            return f"{node.name} gives more than its result and its cache"
        if _query_width(node) is None or attention.turned_dimensions(node) is None:
            return f"{node.name} does not say how wide its heads are"
    return None


def _query_width(node: ir.Node) -> int | None:
    """Return the width of the input that is packed queries, keys and values, or queries alone."""
    query = node.inputs[Input.QUERY]
    match query.shape[2] if query is not None and query.shape is not None else None:
        case int(width):
            return width
    return None


class _Body:
    """Collects the nodes of one subgraph, with names that no other has."""

    def __init__(self, model: ir.Model, prefix: str) -> None:
        self.nodes: list[ir.Node] = []
        self._model = model
        self._prefix = prefix

    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """Add a node of one output."""
        return self.ops(op_type, inputs, 1, attributes)[0]

    def ops(
        self, op_type: str, inputs: tuple[ir.Value | None, ...], outputs: int, attributes: dict[str, Any]
    ) -> list[ir.Value]:
        """Add a node. The attribute `domain` is the operator's."""
        name = f"{self._prefix}/{len(self.nodes)}.{op_type}"
        domain = attributes.pop("domain", "")
        node = ir.node(op_type, inputs, attributes, domain=domain, num_outputs=outputs, name=name)
        for index, output in enumerate(node.outputs):
            output.name = f"{name}/output_{index}"
        self.nodes.append(node)
        return list(node.outputs)

    def vector(self, *values: int) -> ir.Value:
        """The constant int64 `[len(values)]`."""
        return self._constant("_".join(map(str, values)), np.array(values, np.int64))

    def scalar(self, value: int) -> ir.Value:
        """The constant int64 scalar."""
        return self._constant(f"scalar_{value}", np.array(value, np.int64))

    def float_scalar(self, value: np.float32) -> ir.Value:
        """The constant float32 scalar."""
        return self._constant(f"float_{value}", np.asarray(value))

    def as_graph(self, *outputs: ir.Value) -> ir.Graph:
        """The subgraph that gives these."""
        return ir.Graph([], list(outputs), nodes=self.nodes, name=self._prefix)

    def _constant(self, name: str, array: np.ndarray) -> ir.Value:
        return graph.constant(self._model, f"prefill.{name}", array)


def _add_places(model: ir.Model, node: ir.Node) -> _Places:
    """Compute them once, before the first attention; a decode gets empty ones."""
    before, then, otherwise = (_Body(model, f"prefill/{name}") for name in ("places", "places/then", "places/else"))
    query = node.inputs[Input.QUERY]
    tokens = before.op("Shape", query, start=1, end=2)
    end = before.op("Cast", node.inputs[Input.TOTAL], to=ir.DataType.INT64)
    room = before.op("Shape", node.inputs[Input.PAST_KEY], start=2, end=3)
    fits = before.op("LessOrEqual", end, room)
    is_prefill = before.op("And", before.op("Greater", tokens, before.vector(1)), fits)
    past = then.op("Sub", end, tokens)
    cells = _cells(then, query, tokens, (past, end), attention.setting(node, "kv_num_heads"))
    nothing = otherwise.op("Identity", otherwise.vector(0))
    no_cells = otherwise.op("Expand", nothing, otherwise.vector(0, 0, 0, 3))
    branches = {"then_branch": then.as_graph(past, cells), "else_branch": otherwise.as_graph(nothing, no_cells)}
    both = before.ops("If", (is_prefill,), 2, branches)
    for value in (past, cells, nothing, no_cells, *both):
        value.type = ir.TensorType(ir.DataType.INT64)
    model.graph.insert_before(node, before.nodes)
    return _Places(is_prefill, *both)


def _cells(
    body: _Body, query: ir.Value | None, tokens: ir.Value, bounds: tuple[ir.Value, ir.Value], kv_heads: int
) -> ir.Value:
    rows = body.op("Shape", query, start=0, end=1)
    shape = body.op("Concat", rows, body.vector(kv_heads), tokens, body.vector(1), axis=0)
    first, last = (body.op("Squeeze", bound) for bound in bounds)
    ranges = (
        (body.scalar(0), body.op("Squeeze", rows), (-1, 1, 1, 1)),
        (body.scalar(0), body.scalar(kv_heads), (1, -1, 1, 1)),
        (first, last, (1, 1, -1, 1)),
    )
    axes = []
    for start, end, along in ranges:
        counted = body.op("Range", start, end, body.scalar(1))
        axes.append(body.op("Expand", body.op("Reshape", counted, body.vector(*along)), shape))
    return body.op("Concat", *axes, axis=3)


class _Layer:
    """Puts an `If` in the place of one attention."""

    def __init__(self, model: ir.Model, node: ir.Node, places: _Places, prefix: str) -> None:
        self._node = node
        self._inputs = attention.inputs_of(node)
        self._places = places
        self._prefix = prefix
        self._then, self._else = _Body(model, f"{prefix}/then"), _Body(model, f"{prefix}/else")
        self._heads, self._kv_heads = (attention.setting(node, name) for name in ("num_heads", "kv_num_heads"))
        packed = self._inputs[Input.KEY] is None
        self._width = (_query_width(node) or 0) // (self._heads + (2 * self._kv_heads if packed else 0))

    def branch(self) -> None:
        """Make the If; it takes over the attention's results, with their names."""
        old = self._node.outputs
        results = self._in_float(), self._as_it_was()
        both = ir.node(
            "If",
            [self._places.is_prefill],
            {"then_branch": self._then.as_graph(*results[0]), "else_branch": self._else.as_graph(*results[1])},
            num_outputs=len(old),
            name=self._prefix,
        )
        for result in results:
            for value, like in zip(result, old, strict=True):
                value.type = like.type
        graph.replace(self._node, [both])

    def _as_it_was(self) -> list[ir.Value]:
        attributes = dict(self._node.attributes) | {"domain": CONTRIB}
        return self._else.ops(attention.OPERATOR, tuple(self._inputs), _OUTPUTS, attributes)

    def _in_float(self) -> list[ir.Value]:
        query, key, value = self._rotated()
        key, past_key, present_key = self._through_cache(key, Input.PAST_KEY, Input.K_SCALE)
        value, past_value, present_value = self._through_cache(value, Input.PAST_VALUE, Input.V_SCALE)
        inputs = [query, key, value, past_key, past_value, *self._inputs[Input.LENGTHS : Input.COSINES]]
        inputs += [None, None, None, self._inputs[Input.BIAS], self._inputs[Input.SINK]]
        attributes = {name: each for name, each in self._node.attributes.items() if name not in _NOT_OF_FLOAT}
        while inputs[-1] is None:
            inputs.pop()
        attended = self._then.ops(attention.OPERATOR, tuple(inputs), _OUTPUTS, attributes | {"domain": CONTRIB})
        return [attended[0], present_key, present_value]

    def _rotated(self) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Queries, keys and values `[rows, tokens, heads * width]`, turned as far as the attention would turn them."""
        parts = self._inputs[:3]
        if parts[1] is None:
            sizes = self._then.vector(*(count * self._width for count in (self._heads, *[self._kv_heads] * 2)))
            parts = self._then.ops("Split", (parts[0], sizes), 3, {"axis": 2})
        query, key, value = parts
        if attention.setting(self._node, "do_rotary"):
            query, key = self._rotate(query, self._heads), self._rotate(key, self._kv_heads)
        return query, key, value

    def _rotate(self, value: ir.Value, heads: int) -> ir.Value:
        turned = attention.turned_dimensions(self._node) or 0
        return self._then.op(
            "RotaryEmbedding",
            value,
            self._places.past,
            self._inputs[Input.COSINES],
            self._inputs[Input.SINES],
            domain=CONTRIB,
            num_heads=heads,
            interleaved=attention.setting(self._node, "rotary_interleaved"),
            rotary_embedding_dim=turned if turned < self._width else 0,
        )

    def _through_cache(self, new: ir.Value, past_input: int, scale_input: int) -> tuple[ir.Value, ir.Value, ir.Value]:
        """What attention shall see of the new and of the past tokens, in float, and the cache with both."""
        body, past, scale = self._then, self._inputs[past_input], self._inputs[scale_input]
        # As the INT8 kernel does it: a product with the reciprocal, which is not quite the quotient.
        integral = body.op("Round", body.op("Mul", new, body.op("Reciprocal", scale)))
        rounded = body.op("Clip", integral, body.float_scalar(_LOWEST), body.float_scalar(_HIGHEST))
        integers = body.op("Cast", rounded, to=ir.DataType.INT8)
        apart = body.op("Reshape", integers, body.vector(0, 0, self._kv_heads, self._width))
        present = body.op("ScatterND", past, self._places.cells, body.op("Transpose", apart, perm=[0, 2, 1, 3]))
        held = body.op("Slice", past, body.vector(0), self._places.past, body.vector(2))
        widened = body.op("Mul", body.op("Cast", held, to=ir.DataType.FLOAT), self._per_head(scale))
        return body.op("Mul", rounded, scale), widened, present

    def _per_head(self, scale: ir.Value) -> ir.Value:
        """Scales as a cache `[rows, kv_heads, tokens, width]` wants them; one for all suits as it is."""
        if graph.tensor_of(scale).size == 1:
            return scale
        return self._then.op("Reshape", scale, self._then.vector(1, self._kv_heads, 1, self._width))
