"""Reading, changing and saving ONNX graphs whose weights may not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx_ir as ir

MODEL_FILE = "model.onnx"
DATA_FILE = "model.onnx.data"
CONTRIB = "com.microsoft"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Projection:
    """One `MatMul` by a constant weight: a linear layer of the model."""

    node: ir.Node
    name: str
    """The layer's place in the model, `layers.0.attn.qkv_proj`, `lm_head` ..."""

    @property
    def weight(self) -> ir.Value:
        """The weight's value, float32 `[in_features, out_features]`."""
        return _present(self.node.inputs[1])

    @property
    def shape(self) -> tuple[int, int]:
        """In and out features."""
        rows, columns = tensor_of(self.weight).shape.numpy()
        return rows, columns

    def read(self) -> np.ndarray:
        """Read the weight, float32 `[in_features, out_features]`, from the file it is mapped from."""
        return np.asarray(tensor_of(self.weight).numpy(), dtype=np.float32)


def load(folder: Path) -> ir.Model:
    """Open the graph in `folder`; weights stay on disk until they are read."""
    return ir.load(folder / MODEL_FILE)


def save(model: ir.Model, folder: Path) -> None:
    """Write the graph and, beside it, one file with all its weights; drop what nothing uses."""
    drop_unused_initializers(model)
    model.graph.sort()
    folder.mkdir(parents=True, exist_ok=True)
    ir.save(model, folder / MODEL_FILE, external_data=DATA_FILE, size_threshold_bytes=INLINE_BYTES)


INLINE_BYTES = 64
"""Scalars and other constants up to this size stay in model.onnx, where shape inference can see them."""


def projections(model: ir.Model) -> list[Projection]:
    """Return the linear layers in the order of the graph."""
    matmuls = (node for node in model.graph if node.op_type == "MatMul" and _is_constant(node.inputs[1]))
    return [Projection(node, _layer_name(node)) for node in matmuls]


def replace(node: ir.Node, new_nodes: list[ir.Node]) -> None:
    """Put `new_nodes`, the last of which makes the results, in the place of `node`.

    The old results' names, types and shapes pass on to the new ones, also where they are outputs of the graph.
    """
    graph = _present(node.graph)
    graph.insert_before(node, new_nodes)
    for old, new in zip(node.outputs, new_nodes[-1].outputs, strict=True):
        new.type, new.shape = old.type, old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        name, old.name = old.name, f"{old.name}/replaced"
        new.name = name
    graph.remove(node, safe=True)


def constant(model: ir.Model, name: str, array: np.ndarray) -> ir.Value:
    """Return the initializer called `name`, made from `array` if it is not there yet."""
    initializers = model.graph.initializers
    if name not in initializers:
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.type, value.shape = ir.TensorType(ir.DataType.from_numpy(array.dtype)), ir.Shape(array.shape)
        initializers[name] = value
    return initializers[name]


def drop_unused_initializers(model: ir.Model) -> None:
    """Forget the initializers that no node reads, such as float weights after quantizing."""
    unused = [name for name, value in model.graph.initializers.items() if not value.uses()]
    for name in unused:
        del model.graph.initializers[name]


def tensor_of(value: ir.Value) -> ir.TensorProtocol:
    """Return an initializer's tensor."""
    return _present(value.const_value)


def nodes_of_type(model: ir.Model, op_type: str) -> Iterable[ir.Node]:
    """Return the nodes of one operator, in the order of the graph."""
    return [node for node in model.graph if node.op_type == op_type]


def _is_constant(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None


def _layer_name(node: ir.Node) -> str:
    name = (node.name or "").removeprefix("/").removeprefix("model/").removesuffix("/MatMul")
    return name.replace("/", ".")


def _present(value: _T | None) -> _T:
    if value is None:
        raise ValueError("the graph lacks a part that every graph of the model builder has")
    return value
