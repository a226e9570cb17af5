"""How many bytes of weights one decode step must read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def bytes_per_token(folder: Path) -> int:
    """Sum the sizes of the weights of the graph in `folder`, without tables of which only rows are read.

    Those are the embedding table and the rotary caches. The KV cache is not counted: at the lengths that we decode it
    is under 2 % of the weights, and leaving it out makes the limit higher, not lower.
    """
    import onnx

    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    gathered = {name for node in model.graph.node if "Gather" in node.op_type for name in node.input}
    return sum(_size(tensor) for tensor in model.graph.initializer if _is_read_whole(tensor.name, gathered))


def _is_read_whole(name: str, gathered: set[str]) -> bool:
    return name not in gathered and "cos_cache" not in name and "sin_cache" not in name


def _size(tensor: onnx.TensorProto) -> int:
    """Return the bytes of a tensor that may lie in another file."""
    for entry in tensor.external_data:
        if entry.key == "length":
            return int(entry.value)
    return len(tensor.raw_data)
