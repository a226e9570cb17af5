"""One branch of an `If`, while it is made."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from autoglmctl.build import graph


class Body:
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
