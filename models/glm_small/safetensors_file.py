"""Reads a safetensors file with numpy alone, so that evaluating needs no torch.

Format: https://huggingface.co/docs/safetensors/index#format
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoglmd.errors.model import ModelCorruptError

Weights = dict[str, NDArray[np.float32]]
_HEADER_BYTES = 8


def read_weights(file: Path) -> Weights:
    """Every tensor as float32.

    Raises:
        ModelCorruptError: the header is broken, or a tensor has a type other than F32, F16 and BF16.
    """
    content = file.read_bytes()
    size = int.from_bytes(content[:_HEADER_BYTES], "little")
    try:
        header = json.loads(content[_HEADER_BYTES : _HEADER_BYTES + size])
    except ValueError as error:
        raise ModelCorruptError(f"{file} has no safetensors header: {error}") from error
    data = memoryview(content)[_HEADER_BYTES + size :]
    return {name: _tensor(data, entry) for name, entry in header.items() if name != "__metadata__"}


def _tensor(data: memoryview, entry: dict[str, Any]) -> NDArray[np.float32]:
    start, end = entry["data_offsets"]
    return _as_float32(data[start:end], entry["dtype"]).reshape(entry["shape"])


def _as_float32(raw: memoryview, dtype: str) -> NDArray[np.float32]:
    match dtype:
        case "F32":
            return np.frombuffer(raw, np.float32)
        case "F16":
            return np.frombuffer(raw, np.float16).astype(np.float32)
        case "BF16":  # the upper half of a float32
            return (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
    raise ModelCorruptError(f"a tensor has the type {dtype}; only F32, F16 and BF16 are read.")
