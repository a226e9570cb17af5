"""What the GPU is called that CUDA programs of this process use."""

import ctypes
from collections.abc import Callable
from typing import Any

_NAME_BYTES = 256
_LIBRARY = "libcuda.so.1"


def gpu_name(load: Callable[[str], Any] = ctypes.CDLL) -> str:
    """The name of CUDA's first device, which is the one that is used; empty where the driver does not tell.

    Args:
        load: opens a library, or raises OSError.
    """
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    try:
        cuda = load(_LIBRARY)
        failed = (
            cuda.cuInit(0)
            or cuda.cuDeviceGet(ctypes.byref(device), 0)
            or cuda.cuDeviceGetName(name, _NAME_BYTES, device)
        )
    except (OSError, AttributeError):
        return ""
    return "" if failed else name.value.decode(errors="replace")
