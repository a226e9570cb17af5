"""Measures prompts of 2,048 tokens in the daemon's own runner: the figures behind docs/decisions/int8-kv-cache.md.

    python -m benchmarks.long_prompts FOLDER [FOLDER ...]

The folders' models take turns, without AMX, as in the daemon by default. Also says whether keys, values and logits
depend on where the chunks end.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from autoglmd.host.amx import amx_withheld
from autoglmd.model.bundle import read_bundle
from autoglmd.model.device import DeviceChoice

with amx_withheld():
    from autoglmd.model.ort_runner import OrtRunner, RunnerOptions

TOKENS, CHUNK, ROUNDS = 2048, 256, 3
SHORT_TOKENS = 1200
OTHER_CHUNKS = (37, 64, 100, SHORT_TOKENS)
STEPS = 15


def main(folders: list[str]) -> None:
    """Print a table of medians, and the second answer."""
    runners = {folder: _load(Path(folder)) for folder in folders}
    vocabulary = min(runner.spec.vocab_size for runner in runners.values())
    ids = np.random.default_rng(0).integers(10, vocabulary, TOKENS)
    turns = [{folder: _turn(runner, ids) for folder, runner in runners.items()} for _ in range(ROUNDS)]
    print("model | prompt, s | longest chunk, s | prompt of 16, ms | decode behind it, ms | same for any chunks")
    for folder, runner in runners.items():
        medians = np.median([turn[folder] for turn in turns], axis=0)
        same = "yes" if _same_for_any_chunks(runner, ids[:SHORT_TOKENS]) else "no"
        print(f"{Path(folder).name} | " + " | ".join(f"{value:.2f}" for value in medians) + f" | {same}")


def _load(folder: Path) -> OrtRunner:
    bundle = read_bundle(folder)
    device = DeviceChoice("cpu", ("CPUExecutionProvider",))
    options = RunnerOptions(bundle.graph, False, device, "", rows=1, context_tokens=TOKENS + STEPS, threads=0)
    return OrtRunner(bundle, options)


def _turn(runner: OrtRunner, ids: np.ndarray) -> tuple[float, ...]:
    few = statistics.median(_seconds(partial(runner.prefill, 0, ids[:16], 0, final=True)) for _ in range(STEPS))
    starts = range(0, TOKENS, CHUNK)
    chunks = [_seconds(partial(runner.prefill, 0, ids[at : at + CHUNK], at, final=True)) for at in starts]
    places = (np.array([TOKENS + step]) for step in range(STEPS))
    decode = statistics.median(_seconds(partial(runner.decode, ids[:1], place)) for place in places)
    return sum(chunks), max(chunks), 1e3 * few, 1e3 * decode


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _same_for_any_chunks(runner: OrtRunner, ids: np.ndarray) -> bool:
    """Whether the last logits, which all keys and values go into, are the same bit for bit."""
    found = []
    for size in (CHUNK, *OTHER_CHUNKS):
        for start in range(0, len(ids), size):
            logits = runner.prefill(0, ids[start : start + size], start, final=True)
        found.append(logits.copy())
    return all(np.array_equal(found[0], other) for other in found)


if __name__ == "__main__":
    main(sys.argv[1:])
