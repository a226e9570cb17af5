"""What a graph costs: load time, memory, latency. Run as a program of its own, so that memory is its own.

python -m autoglmctl.build.cost FOLDER THREADS TOKENS
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from autoglmctl.build.host_limits import MEMORY_REMEDY, memory_left, says_memory
from autoglmctl.build.report import Cost
from autoglmd.errors.base import HostError
from autoglmd.errors.model import ModelUnsupportedError
from autoglmd.host.amx import amx_withheld

DECODE_STEPS = 16
DECODE_ROWS = 8
REPEATS = 3
_MODEL_FILES = ("model.onnx", "model.onnx.data")


def measure_cost(folder: Path, threads: int, tokens: int) -> Cost:
    """Measure the model in `folder` in a child process; `tokens` is the length of the prefill.

    Raises:
        ModelUnsupportedError: onnxruntime cannot load or run it.
        HostError: there is too little memory for it.
    """
    command = [sys.executable, "-m", "autoglmctl.build.cost", str(folder), str(threads), str(tokens)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own module, no shell
    if result.returncode:
        raise _failure(result.returncode, result.stderr)
    return Cost(**json.loads(result.stdout))


def median_cost(costs: list[Cost]) -> Cost:
    """Return the median of each figure."""
    figures: dict[str, list[Any]] = {each.name: [getattr(cost, each.name) for cost in costs] for each in fields(Cost)}
    medians: dict[str, Any] = {
        name: None if None in values else statistics.median(values) for name, values in figures.items()
    }
    return Cost(**medians)


def size_bytes(folder: Path) -> int:
    """Return the size of the graph and its weights."""
    return sum((folder / name).stat().st_size for name in _MODEL_FILES if (folder / name).is_file())


def measure_here(folder: Path, threads: int, tokens: int) -> Cost:
    """Load and run the model in this process."""
    import numpy as np

    with amx_withheld():
        # As the daemon does where nobody configures it otherwise; later imports are this one.
        import onnxruntime  # noqa: F401 - see above

    from autoglmctl.build.runner import GraphRunner

    before = _memory_bytes("VmRSS")
    started = time.perf_counter()
    runner = GraphRunner(folder, threads)
    load_seconds = time.perf_counter() - started
    # A context of few tokens leaves room for few steps; one token is prefilled at least.
    steps = max(1, min(DECODE_STEPS, (runner.context_length - 1) // 2))
    ids = np.arange(max(1, min(tokens, runner.context_length - 2 * steps)), dtype=np.int64) % runner.vocabulary
    one, eight = np.ones(1, dtype=np.int64), np.ones(DECODE_ROWS, dtype=np.int64)
    stream = runner.stream(ids.size + 2 * steps)
    prefill = _median(REPEATS, lambda: stream.prefill(ids))
    decode = _median(steps, lambda: stream.append(one))
    resident = _memory_bytes("VmHWM") - before
    together = stream.repeated(DECODE_ROWS)
    decode_together = _median(steps, lambda: together.step(eight))
    return Cost(
        size_bytes=size_bytes(folder),
        load_seconds=load_seconds,
        resident_bytes=resident,
        prefill_tokens=ids.size,
        prefill_seconds=prefill,
        decode_seconds=decode,
        prefill_tokens_per_second=ids.size / prefill,
        decode_tokens_per_second=1 / decode,
        decode_8_rows_tokens_per_second=DECODE_ROWS / decode_together,
    )


def _failure(status: int, stderr: str) -> HostError | ModelUnsupportedError:
    reason = (stderr.strip() or f"exit status {status}").splitlines()[-1][:300]
    if status == -signal.SIGKILL:
        reason = "it was killed, which is what happens where memory ends"
    if status == -signal.SIGKILL or says_memory(stderr):
        return HostError(f"Too little memory to load and run the model: {reason}. {memory_left()} {MEMORY_REMEDY}")
    return ModelUnsupportedError(f"The model does not run: {reason}")


def _median(times: int, work: Callable[[], object]) -> float:
    """Return the median duration of `work`, seconds."""
    return statistics.median(_seconds(work) for _ in range(times))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _memory_bytes(field: str) -> int:
    """Read this process's memory, VmRSS (now) or VmHWM (at most), where getrusage would count the parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    print(json.dumps(asdict(measure_here(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))  # noqa: T201 - the answer to `measure`
