"""How fast this machine's memory can be read: the limit that decoding one stream runs against.

The buffer has the size of the weights in question, so that it enjoys the caches exactly as much as they do.
    python -m benchmarks.bandwidth BYTES THREADS RESULT.json
"""

from __future__ import annotations

import ctypes
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("read_bandwidth.c")
PASSES = 30
WARM_PASSES = 3

ReadAll = Callable[[np.ndarray, int], None]


def measure(size_bytes: int, threads: int) -> dict[str, float]:
    """Return gigabytes per second, `c` and `numpy`, each the median of many passes over `size_bytes`.

    Two kernels, because a limit is what the best of them reaches; `c` is absent without a C compiler.
    """
    words = np.ones(size_bytes // 8, dtype=np.uint64)
    kernels: dict[str, ReadAll] = {"numpy": _read_with_numpy}
    with tempfile.TemporaryDirectory() as folder:
        compiled = _compile(Path(folder))
        if compiled:
            kernels["c"] = compiled
        return {name: _rate(kernel, words, threads) for name, kernel in kernels.items()}


def _rate(kernel: ReadAll, words: np.ndarray, threads: int) -> float:
    seconds = []
    for _ in range(WARM_PASSES + PASSES):
        start = time.perf_counter()
        kernel(words, threads)
        seconds.append(time.perf_counter() - start)
    return words.nbytes / statistics.median(seconds[WARM_PASSES:]) / 1e9


def _read_with_numpy(words: np.ndarray, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(np.bitwise_or.reduce, np.array_split(words, threads)))


def _compile(folder: Path) -> ReadAll | None:
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "read_bandwidth.so"
    options = ["-O3", "-march=native", "-shared", "-fPIC", "-pthread"]
    subprocess.run([compiler, *options, str(SOURCE), "-o", str(library)], check=True)
    function = ctypes.CDLL(str(library)).read_all
    function.restype = ctypes.c_uint64
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return lambda words, threads: function(words.ctypes.data, words.size, threads)


def main() -> None:
    """Measure and write the result."""
    size_bytes, threads, result = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    result.write_text(json.dumps({"gigabytes_per_second": measure(size_bytes, threads)}), encoding="utf-8")


if __name__ == "__main__":
    main()
