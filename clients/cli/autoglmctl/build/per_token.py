"""W8A8: activations quantized per token, weights per output channel, by stock operators.

For a row x with largest absolute value m, the integers are round(127 x / m); sums of products of integers have no
order, so a row's result does not depend on the other rows of its batch, nor on how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from autoglmctl.build import graph
from autoglmctl.build.graph import CONTRIB, Projection

ACTIVATION_LIMIT = 127
ACTIVATION_ZERO_POINT = 128
SMALLEST_MAXIMUM = 1e-30
"""What an all-zero row is divided by instead of 0: its integers, and so its result, are then 0, not NaN."""


@dataclass(frozen=True)
class _Quantized:
    """A distinct input of products: its integers, and the factor per row that their products still need."""

    integers: ir.Value
    factor: ir.Value


def quantize(weight: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantize float32 `[in, out]` symmetrically per output channel.

    Returns int8 `[in, out]` and the scales, float32 `[out]`. `limit` is 127, or 63 for 7 bits.
    """
    scales = np.abs(weight).max(axis=0) / limit
    scales[scales == 0] = 1.0
    integers = np.rint(weight / scales).clip(-limit, limit)
    return integers.astype(np.int8), scales.astype(np.float32)


class PerTokenRewriter:
    """Replaces MatMuls by W8A8 products; quantizes each distinct input once (q, k, v; gate, up)."""

    def __init__(self, model: ir.Model, layers: Iterable[Projection], limit: int) -> None:
        """Take the graph, the layers that will be rewritten, and the largest absolute integer of the weights."""
        self._model = model
        self._nodes = {layer.node for layer in layers}
        self._limit = limit
        self._quantized: dict[ir.Value, _Quantized] = {}
        self._left_over: dict[ir.Value, ir.Value] = {}
        """Values that still lack a factor per row, which the products made of them bring in."""

    def rewrite(self, projection: Projection) -> None:
        """Replace the projection's MatMul: the integers of its input, times the weight, times the row's factor."""
        quantized = self._quantize_input(projection)
        weights, scales = quantize(projection.read(), self._limit)
        prefix, name = projection.name, projection.node.name
        inputs = [
            quantized.integers,
            graph.constant(self._model, f"{prefix}.weight_i8", weights),
            self._step(),
            graph.constant(self._model, f"{prefix}.weight_scales", scales),
            self._zero_point(),
        ]
        product = ir.node("MatMulIntegerToFloat", inputs, domain=CONTRIB, name=f"{name}_integer")
        product.outputs[0].name = f"{name}_integer/output_0"
        gated = self._gated(projection.node)
        if gated is not None:
            self._left_over[gated] = quantized.factor
            graph.replace(projection.node, [product])
        else:
            scaled = ir.node("Mul", [product.outputs[0], quantized.factor], name=f"{name}_scaled")
            graph.replace(projection.node, [product, scaled])

    def _gated(self, node: ir.Node) -> ir.Value | None:
        """Return the product that `node`'s result goes into, if its factor can wait until behind the next layer.

        `up` goes only into `activation(gate) * up`, and that only into `down`, whose own quantization divides any
        factor of a row out. So `up`'s row factor is multiplied with `down`'s, one number per row, instead of with
        the widest activations of the layer.
        """
        users = [use.node for use in node.outputs[0].uses()]
        if len(users) != 1 or users[0].op_type != "Mul":
            return None
        product: ir.Value = users[0].outputs[0]
        readers = {use.node for use in product.uses()}
        return product if readers and readers <= self._nodes else None

    def _quantize_input(self, projection: Projection) -> _Quantized:
        value = projection.node.inputs[0]
        if value is None:
            raise ValueError(f"{projection.name} has no input")
        if value not in self._quantized:
            nodes = self._quantize_nodes(value)
            maxima, integers = nodes[2].outputs[0], nodes[4].outputs[0]
            waiting = self._left_over.get(value)
            if waiting is not None:
                nodes.append(self._node("Mul", [maxima, waiting], value))
                maxima = nodes[-1].outputs[0]
            projection.node.graph.insert_before(projection.node, nodes)
            self._quantized[value] = _Quantized(integers, maxima)
        return self._quantized[value]

    def _quantize_nodes(self, value: ir.Value) -> list[ir.Node]:
        """Abs, ReduceMax, Max (against 0), Div, QuantizeLinear."""
        absolute = self._node("Abs", [value], value)
        largest = self._node("ReduceMax", [absolute.outputs[0], self._last_axis()], value)
        maxima = self._node("Max", [largest.outputs[0], self._smallest()], value)
        divided = self._node("Div", [value, maxima.outputs[0]], value)
        integers = self._node("QuantizeLinear", [divided.outputs[0], self._step(), self._zero_point()], value)
        return [absolute, largest, maxima, divided, integers]

    def _node(self, op_type: str, inputs: list[ir.Value], root: ir.Value) -> ir.Node:
        name = f"{root.name}/per_token/{op_type}"
        node = ir.node(op_type, inputs, name=name)
        node.outputs[0].name = f"{name}/output_0"
        return node

    def _step(self) -> ir.Value:
        return self._constant("step", np.float32(1 / ACTIVATION_LIMIT))

    def _zero_point(self) -> ir.Value:
        return self._constant("zero_point", np.uint8(ACTIVATION_ZERO_POINT))

    def _smallest(self) -> ir.Value:
        return self._constant("smallest_maximum", np.float32(SMALLEST_MAXIMUM))

    def _last_axis(self) -> ir.Value:
        return self._constant("last_axis", np.array([-1], dtype=np.int64))

    def _constant(self, name: str, value: np.ndarray | np.generic) -> ir.Value:
        return graph.constant(self._model, f"per_token.{name}", np.asarray(value))
