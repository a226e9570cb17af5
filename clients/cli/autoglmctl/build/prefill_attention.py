"""A second way through attention, for prefills over an INT8 KV cache, and a third for short ones.

GroupQueryAttention's INT8 kernel reads a quarter of the bytes, which is what a decode waits for. It widens integers in
its innermost loop, which is what a prefill waits for: there it takes three to four times as long as the FP32 kernel. So
each layer gets both, in an `If`: one token per row goes through the INT8 kernel, several through the FP32 one, over a
past that is widened once. Both see the same values and write the same integers into the cache, in place.

The FP32 kernel copies the widened past once more, which is most of what a few tokens behind a long conversation wait
for. They go through plain matrix products instead, where whoever runs the graph allows it: an input with a default says
up to how many tokens (`SHORT_PREFILL_TOKENS`). It may be allowed where both give the same bits, which depends on the
processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from autoglmctl.build import attention, graph
from autoglmctl.build.attention import Input
from autoglmctl.build.graph import CONTRIB
from autoglmctl.build.subgraph import Body
from autoglmd.model.graph_io import SHORT_PREFILL_TOKENS

_NOT_OF_FLOAT = frozenset(("do_rotary", "rotary_interleaved", "k_quant_type", "v_quant_type", "kv_cache_bit_width"))
_OUTPUTS = 3
_LOWEST, _HIGHEST = np.float32(-128), np.float32(127)


@dataclass(frozen=True)
class _Places:
    """Where a prefill's tokens go, the same for all layers.

    Attributes:
        is_prefill: bool `[1]`: whether the run has several tokens per row, and the cache has room for them. A runtime
            that lets the cache grow instead of giving it whole is served by the INT8 kernel.
        is_short: bool `[1]`: whether they are few enough for plain products.
        past: int64 `[1]`: positions before the run's. Rows that prefill together are all fresh.
        end: int64 `[1]`: positions with the run's.
        cells: int64 `[rows, kv_heads, tokens, 3]`: row, head and position of each new vector in a cache.
        mask: float32 `[tokens, end]`: 0 where a token sees a position, else -inf; of a prefill that is not short, none.
    """

    is_prefill: ir.Value
    is_short: ir.Value
    past: ir.Value
    end: ir.Value
    cells: ir.Value
    mask: ir.Value


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


def _add_places(model: ir.Model, node: ir.Node) -> _Places:
    """Compute them once, before the first attention; a decode gets empty ones."""
    before, then, otherwise = (Body(model, f"prefill/{name}") for name in ("places", "places/then", "places/else"))
    query = node.inputs[Input.QUERY]
    tokens = before.op("Shape", query, start=1, end=2)
    end = before.op("Cast", node.inputs[Input.TOTAL], to=ir.DataType.INT64)
    room = before.op("Shape", node.inputs[Input.PAST_KEY], start=2, end=3)
    fits = before.op("LessOrEqual", end, room)
    is_prefill = before.op("And", before.op("Greater", tokens, before.vector(1)), fits)
    is_short = before.op("LessOrEqual", tokens, _short_tokens(model))
    end = before.op("Reshape", end, before.vector(1))
    past = then.op("Sub", end, tokens)
    cells = _cells(then, query, tokens, (past, end), attention.setting(node, "kv_num_heads"))
    mask = _mask(then, then.op("Mul", tokens, then.op("Cast", is_short, to=ir.DataType.INT64)), past, end)
    results = (
        otherwise.op("Identity", otherwise.vector(0)),
        otherwise.op("Expand", otherwise.vector(0), otherwise.vector(0, 0, 0, 3)),
        otherwise.op("Expand", otherwise.float_scalar(np.float32(0)), otherwise.vector(0, 0)),
    )
    branches = {"then_branch": then.as_graph(past, cells, mask), "else_branch": otherwise.as_graph(*results)}
    both = before.ops("If", (is_prefill,), 3, branches)
    for values in ((past, cells, mask), results, both):
        for value, kind in zip(values, (ir.DataType.INT64, ir.DataType.INT64, ir.DataType.FLOAT), strict=True):
            value.type = ir.TensorType(kind)
    model.graph.insert_before(node, before.nodes)
    return _Places(is_prefill, is_short, both[0], end, both[1], both[2])


def _short_tokens(model: ir.Model) -> ir.Value:
    """An input of the graph that need not be given: 0, so that no prefill is short."""
    given = graph.constant(model, SHORT_PREFILL_TOKENS, np.array([0], np.int64))
    model.graph.inputs.append(given)
    return given


def _mask(body: Body, tokens: ir.Value, past: ir.Value, end: ir.Value) -> ir.Value:
    zero, one = body.scalar(0), body.scalar(1)
    places = body.op("Add", body.op("Range", zero, body.op("Squeeze", tokens), one), past)
    keys = body.op("Range", zero, body.op("Squeeze", end), one)
    sees = body.op("LessOrEqual", keys, body.op("Unsqueeze", places, body.vector(1)))
    return body.op("Where", sees, body.float_scalar(np.float32(0)), body.float_scalar(np.float32(-np.inf)))


def _cells(
    body: Body, query: ir.Value | None, tokens: ir.Value, bounds: tuple[ir.Value, ir.Value], kv_heads: int
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
        self._model = model
        self._node = node
        self._inputs = attention.inputs_of(node)
        self._places = places
        self._prefix = prefix
        self._then, self._else = Body(model, f"{prefix}/then"), Body(model, f"{prefix}/else")
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
        key_scale, value_scale = (self._inputs[each] for each in (Input.K_SCALE, Input.V_SCALE))
        key, present_key = self._through_cache(key, Input.PAST_KEY, key_scale)
        value, present_value = self._through_cache(value, Input.PAST_VALUE, value_scale)
        # Scales are the same for all positions: the integers need none, if what meets them has it.
        query = self._then.op("Mul", query, self._per_query_head(key_scale))
        attended = self._attended(query, (key, value), (present_key, present_value))
        return [self._then.op("Mul", attended, self._per_query_head(value_scale)), present_key, present_value]

    def _attended(
        self, query: ir.Value, new: tuple[ir.Value, ir.Value], present: tuple[ir.Value, ir.Value]
    ) -> ir.Value:
        """What the queries find in new and past, all in integers; float32 `[rows, tokens, heads * width]`."""
        if not self._is_plain():
            return self._by_kernel(self._then, query, new, present)
        short, long = (Body(self._model, f"{self._prefix}/{name}") for name in ("short", "long"))
        results = self._by_products(short, query, present), self._by_kernel(long, query, new, present)
        for result in results:
            result.type = ir.TensorType(ir.DataType.FLOAT)
        branches = {"then_branch": short.as_graph(results[0]), "else_branch": long.as_graph(results[1])}
        return self._then.ops("If", (self._places.is_short,), 1, branches)[0]

    def _is_plain(self) -> bool:
        """Whether attention is nothing but causal: no window, no sink, no bias, no cap."""
        extras = self._inputs[Input.BIAS], self._inputs[Input.SINK]
        window = int(self._node.attributes.get_int("local_window_size", -1))
        softened = attention.setting(self._node, "smooth_softmax") or self._node.attributes.get_float("softcap", 0.0)
        return all(each is None for each in extras) and window < 0 and not softened

    def _by_kernel(
        self, body: Body, query: ir.Value, new: tuple[ir.Value, ir.Value], present: tuple[ir.Value, ir.Value]
    ) -> ir.Value:
        past = [self._widened(body, each, self._places.past) for each in present]
        inputs = [query, *new, *past, *self._inputs[Input.LENGTHS : Input.COSINES]]
        inputs += [None, None, None, self._inputs[Input.BIAS], self._inputs[Input.SINK]]
        attributes = {name: each for name, each in self._node.attributes.items() if name not in _NOT_OF_FLOAT}
        while inputs[-1] is None:
            inputs.pop()
        return body.ops(attention.OPERATOR, tuple(inputs), _OUTPUTS, attributes | {"domain": CONTRIB})[0]

    def _by_products(self, body: Body, query: ir.Value, present: tuple[ir.Value, ir.Value]) -> ir.Value:
        """As the kernel computes it, with the query heads of one KV head in one product."""
        keys, values = (self._widened(body, each, self._places.end) for each in present)
        group = self._heads // self._kv_heads
        apart = body.op("Reshape", query, body.vector(0, 0, self._kv_heads, group, self._width))
        ordered = body.op("Transpose", apart, perm=[0, 2, 3, 1, 4])
        grouped = body.op("Reshape", ordered, body.vector(0, self._kv_heads, -1, self._width))
        scores = body.op("FusedMatMul", grouped, keys, domain=CONTRIB, transB=1, alpha=self._scaling())
        shape = body.op("Shape", scores)
        of_heads = body.op("Concat", body.op("Shape", ordered, start=0, end=4), self._places.end, axis=0)
        seen = body.op("Add", body.op("Reshape", scores, of_heads), self._places.mask)
        shares = body.op("Reshape", body.op("Softmax", seen, axis=-1), shape)
        attended = body.op("Reshape", body.op("MatMul", shares, values), body.op("Shape", ordered))
        together = body.op("Transpose", attended, perm=[0, 3, 1, 2, 4])
        return body.op("Reshape", together, body.vector(0, 0, self._heads * self._width))

    def _scaling(self) -> float:
        """What scores are multiplied with, as the kernel makes it of the heads' width where nothing is said."""
        given = float(self._node.attributes.get_float("scale", 0.0))
        return given or float(np.float32(1) / np.sqrt(np.float32(self._width)))

    def _widened(self, body: Body, cache: ir.Value, end: ir.Value) -> ir.Value:
        """The first positions of a cache, float32 `[rows, kv_heads, end, width]`."""
        return body.op("Cast", body.op("Slice", cache, body.vector(0), end, body.vector(2)), to=ir.DataType.FLOAT)

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

    def _through_cache(self, new: ir.Value, past_input: int, scale: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The new vectors in integers, as float32, and the cache with them."""
        body, past = self._then, self._inputs[past_input]
        # As the INT8 kernel does it: a product with the reciprocal, which is not quite the quotient.
        integral = body.op("Round", body.op("Mul", new, body.op("Reciprocal", scale)))
        rounded = body.op("Clip", integral, body.float_scalar(_LOWEST), body.float_scalar(_HIGHEST))
        integers = body.op("Cast", rounded, to=ir.DataType.INT8)
        apart = body.op("Reshape", integers, body.vector(0, 0, self._kv_heads, self._width))
        present = body.op("ScatterND", past, self._places.cells, body.op("Transpose", apart, perm=[0, 2, 1, 3]))
        return rounded, present

    def _per_query_head(self, scale: ir.Value) -> ir.Value:
        """KV heads' scales, once for each of the query heads that share one; one for all suits as it is."""
        array = graph.tensor_of(scale).numpy()
        if array.size == 1:
            return scale
        heads = np.repeat(array.reshape(self._kv_heads, self._width), self._heads // self._kv_heads, axis=0)
        return graph.constant(self._model, f"{scale.name}.per_query_head", heads.reshape(-1))
