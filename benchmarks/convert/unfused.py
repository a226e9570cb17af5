"""A fused float32 graph taken apart into stock operators: what an exporter without fusions would have written.

`GroupQueryAttention` becomes rotary embedding, concatenation, two products and a softmax;
`SkipSimplifiedLayerNormalization` becomes a sum, a mean of squares and a product. For full, half-split rotary
embeddings (Llama) and rows of equal length, which is what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from autoglmctl.build import graph

NORMS = ("SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization")
MASKED = np.float32(-1e9)


@dataclass(frozen=True)
class Heads:
    """An attention's dimensions."""

    query: int
    kv: int
    width: int

    @property
    def sizes(self) -> list[int]:
        """Widths of q, k and v in the fused projection."""
        return [self.query * self.width, self.kv * self.width, self.kv * self.width]


class Unfuser:
    """Rewrites one graph. The positions and the mask are computed once, as every exporter does."""

    def __init__(self, model: ir.Model) -> None:
        """Take the graph to change."""
        self._model = model
        self._tape = ir.tape.Tape()
        self._shared: tuple[ir.Value, ir.Value, ir.Value] | None = None

    def run(self) -> None:
        """Replace every fused operator."""
        for node in list(self._model.graph):
            if node.op_type in NORMS:
                self._replace(node, self._norm(node))
            elif node.op_type == "GroupQueryAttention":
                self._replace(node, self._attention(node))

    def _norm(self, node: ir.Node) -> dict[int, ir.Value]:
        """Return the new values of the outputs: 0 the norm, 3 the sum that goes on."""
        value, *others = [self._need(each) for each in node.inputs if each is not None]
        if len(others) > 1:
            value = self._op("Add", value, others[0])
        epsilon = self._number(np.float32(node.attributes["epsilon"].as_float()))
        mean = self._op("ReduceMean", self._op("Mul", value, value), self._list([-1]))
        root = self._op("Sqrt", self._op("Add", mean, epsilon))
        normed = self._op("Mul", self._op("Div", value, root), others[-1])
        return {0: normed, 3: value}

    def _attention(self, node: ir.Node) -> dict[int, ir.Value]:
        """Return the new values of the outputs: the attention's, present key, present value."""
        inputs = [self._need(node.inputs[index]) for index in (0, 3, 4, 7, 8)]
        fused, past_key, past_value, cosines, sines = inputs
        heads = self._heads(node, cosines)
        cos, sin, mask = self._positions(fused, past_key, cosines, sines)
        parts = self._tape.op_multi_out(
            "Split", [fused, self._list(heads.sizes)], attributes={"axis": -1}, num_outputs=3
        )
        query, key, value = (
            self._split_heads(part, count, heads.width)
            for part, count in zip(parts, (heads.query, heads.kv, heads.kv), strict=True)
        )
        key = self._op("Concat", past_key, self._rotate(key, cos, sin), axis=2)
        value = self._op("Concat", past_value, value, axis=2)
        return {0: self._attend(self._rotate(query, cos, sin), (key, value), mask, heads), 1: key, 2: value}

    def _attend(self, query: ir.Value, key_value: tuple[ir.Value, ir.Value], mask: ir.Value, heads: Heads) -> ir.Value:
        keys, values = (self._repeat(each, heads) for each in key_value)
        scores = self._op("MatMul", query, self._op("Transpose", keys, perm=[0, 1, 3, 2]))
        scaled = self._op("Mul", scores, self._number(np.float32(heads.width**-0.5)))
        weights = self._op("Softmax", self._op("Where", mask, scaled, self._number(MASKED)), axis=-1)
        merged = self._op("Transpose", self._op("MatMul", weights, values), perm=[0, 2, 1, 3])
        return self._op("Reshape", merged, self._list([0, 0, heads.query * heads.width]))

    def _positions(
        self, fused: ir.Value, past: ir.Value, cosines: ir.Value, sines: ir.Value
    ) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Return cosines and sines of the new positions and the causal mask `[new, past + new]`."""
        if self._shared is None:
            start = self._op("Squeeze", self._op("Shape", past, start=2, end=3))
            new = self._op("Squeeze", self._op("Shape", fused, start=1, end=2))
            end = self._op("Add", start, new)
            one, zero = self._number(np.int64(1)), self._number(np.int64(0))
            positions = self._op("Range", start, end, one)
            columns = self._op("Range", zero, end, one)
            mask = self._op("LessOrEqual", columns, self._op("Unsqueeze", positions, self._list([1])))
            cos, sin = (self._op("Gather", table, positions, axis=0) for table in (cosines, sines))
            self._shared = (cos, sin, mask)
        return self._shared

    def _split_heads(self, value: ir.Value, count: int, width: int) -> ir.Value:
        return self._op("Transpose", self._op("Reshape", value, self._list([0, 0, count, width])), perm=[0, 2, 1, 3])

    def _rotate(self, value: ir.Value, cos: ir.Value, sin: ir.Value) -> ir.Value:
        attributes = {"axis": -1, "num_outputs": 2}
        first, second = self._tape.op_multi_out("Split", [value], attributes=attributes, num_outputs=2)
        turned_first = self._op("Sub", self._op("Mul", first, cos), self._op("Mul", second, sin))
        turned_second = self._op("Add", self._op("Mul", second, cos), self._op("Mul", first, sin))
        return self._op("Concat", turned_first, turned_second, axis=-1)

    def _repeat(self, value: ir.Value, heads: Heads) -> ir.Value:
        """Repeat every key or value head for the query heads that share it."""
        apart = self._op("Unsqueeze", value, self._list([2]))
        wide = self._op("Expand", apart, self._list([1, 1, heads.query // heads.kv, 1, 1]))
        return self._op("Reshape", wide, self._list([0, heads.query, -1, heads.width]))

    def _heads(self, node: ir.Node, cosines: ir.Value) -> Heads:
        attributes = node.attributes
        if attributes["rotary_interleaved"].as_int():
            raise ValueError("only half-split rotary embeddings are taken apart here")
        width = 2 * graph.tensor_of(cosines).shape.numpy()[1]
        return Heads(attributes["num_heads"].as_int(), attributes["kv_num_heads"].as_int(), width)

    def _replace(self, node: ir.Node, values: dict[int, ir.Value]) -> None:
        """Let the new values take the old outputs' places, names and graph outputs."""
        for index, new in values.items():
            if index >= len(node.outputs):
                continue
            old = node.outputs[index]
            new.type, new.shape = old.type, old.shape
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            name, old.name = old.name, f"{old.name}/replaced"
            new.name = name
        self._model.graph.insert_before(node, list(self._tape.nodes))
        self._tape = ir.tape.Tape()
        self._model.graph.remove(node, safe=True)

    def _op(self, op_type: str, *inputs: ir.Value, **attributes: int | Sequence[int]) -> ir.Value:
        return self._tape.op(op_type, list(inputs), attributes=attributes or None)

    def _list(self, numbers: list[int]) -> ir.Value:
        name = "unfused.list." + "_".join(map(str, numbers))
        return graph.constant(self._model, name, np.array(numbers, dtype=np.int64))

    def _number(self, number: np.generic) -> ir.Value:
        return graph.constant(self._model, f"unfused.{number.dtype}.{number}", np.asarray(number))

    def _need(self, value: ir.Value | None) -> ir.Value:
        if value is None:
            raise ValueError("the graph is not one of the model builder's fused ones")
        return value


def convert(source: Path, target: Path) -> None:
    """Write the fused float32 folder `source` as the unfused folder `target`."""
    model = graph.load(source)
    Unfuser(model).run()
    graph.save(model, target)
    config = (source / "genai_config.json").read_text(encoding="utf-8")
    (target / "genai_config.json").write_text(config, encoding="utf-8")
