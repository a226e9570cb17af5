"""What a graph costs: load time, memory, latency. Run as a program of its own, so that memory is its own.

python -m autoglmctl.build.cost FOLDER THREADS TOKENS
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from autoglmctl.build.report import Cost
from autoglmd.errors import ModelUnsupportedError

DECODE_STEPS = 16
REPEATS = 3
_MODEL_FILES = ("model.onnx", "model.onnx.data")


def measure_cost(folder: Path, threads: int, tokens: int) -> Cost:
    """Measure the model in `folder` in a child process; `tokens` is the length of the prefill.

    Raises:
        ModelUnsupportedError: onnxruntime cannot load or run it.
    """
    command = [sys.executable, "-m", "autoglmctl.build.cost", str(folder), str(threads), str(tokens)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if result.returncode:
        reason = (result.stderr.strip() or f"exit status {result.returncode}").splitlines()[-1]
        raise ModelUnsupportedError(f"The built model does not run: {reason[:300]}")
    return Cost(**json.loads(result.stdout))


def size_bytes(folder: Path) -> int:
    """Return the size of the graph and its weights."""
    return sum((folder / name).stat().st_size for name in _MODEL_FILES if (folder / name).is_file())


def measure_here(folder: Path, threads: int, tokens: int) -> Cost:
    """Load and run the model in this process."""
    import numpy as np

    from autoglmctl.build.runner import GraphRunner

    before = _memory_bytes("VmRSS")
    started = time.perf_counter()
    runner = GraphRunner(folder, threads)
    load_seconds = time.perf_counter() - started
    steps = min(DECODE_STEPS, runner.context_length - 1)
    ids = np.arange(min(tokens, runner.context_length - steps), dtype=np.int64) % runner.vocabulary
    one = np.ones(1, dtype=np.int64)
    stream = runner.stream(ids.size + steps)
    prefills = [_seconds(lambda: stream.prefill(ids)) for _ in range(REPEATS)]
    decodes = [_seconds(lambda: stream.append(one)) for _ in range(steps)]
    return Cost(
        size_bytes=size_bytes(folder),
        load_seconds=load_seconds,
        resident_bytes=_memory_bytes("VmHWM") - before,
        prefill_seconds=float(np.median(prefills)),
        decode_seconds=float(np.median(decodes)),
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _memory_bytes(field: str) -> int:
    """Read this process's memory, VmRSS (now) or VmHWM (at most), where getrusage would count the parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    print(json.dumps(asdict(measure_here(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))  # noqa: T201
