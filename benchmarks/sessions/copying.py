"""What a worker is asked to keep and to bring back; a value that travels as JSON."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.process import run_module

TURN_TOKENS = 64
"""Tokens that a later turn adds: its question and its answer."""


@dataclass(frozen=True)
class Copying:
    """One conversation of so many tokens in one row.

    Attributes:
        model: the engine's own file or folder.
        graph: for onnxruntime, the prepared graph; empty for the folder's own.
        folder: where files are written.
        steps: for onnxruntime, how many new tokens are computed behind the conversation, each timed.
        repeats: of everything but computing the conversation itself.
    """

    model: str
    folder: str
    tokens: int
    vocab: int
    graph: str = ""
    threads: int = 2
    seed: int = 0
    steps: tuple[int, ...] = ()
    repeats: int = 5
    chunk: int = 256

    @property
    def context(self) -> int:
        """Positions that the row needs, rounded up to 64."""
        return -(-(self.tokens + TURN_TOKENS + max(self.steps, default=0) + 2) // 64) * 64


def read(path: Path) -> Copying:
    """Read what `run` wrote."""
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Copying(**{**fields, "steps": tuple(fields["steps"])})


def run(python: str, module: str, copying: Copying) -> dict[str, Any]:
    """Run a module over it, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.json"
        file.write_text(json.dumps(asdict(copying)), encoding="utf-8")
        return run_module(python, module, [str(file)], copying.threads)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_seconds(repeats: int, work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """How long it takes, mostly; what is to be done `before` each time is not counted."""
    taken = []
    for _ in range(repeats):
        before()
        taken.append(seconds(work))
    return statistics.median(taken)
