"""Prompts of many lengths through one engine: alone, padded in the order of arrival, or bucketed by the daemon's plan.

python -m benchmarks.fresh_prompts JOB.json RESULT.json
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from autoglmd.config.rooms import EngineConfig
from autoglmd.engine.plan import EngineView, Limits, StepPlan, Waiting, plan_step
from benchmarks import job as jobs
from benchmarks.engines.onnx_loop import OnnxLoop

PROMPTS = 64
SHORTEST, LONGEST = 8, 128
ROWS = 8

Batches = list[list[int]]
"""Lengths of the prompts of each batch."""


def alone(lengths: Sequence[int]) -> Batches:
    """Compute one prompt after the other."""
    return [[length] for length in lengths]


def padded(lengths: Sequence[int]) -> Batches:
    """Batch by arrival, as a static batcher does."""
    return [list(lengths[start : start + ROWS]) for start in range(0, len(lengths), ROWS)]


def bucketed(lengths: Sequence[int]) -> Batches:
    """Batch as the daemon would with all of them waiting, step by step."""
    settings = EngineConfig()
    limits = Limits(ROWS, 1 << 30, settings.prefill_chunk_tokens, settings.prefill_padding)
    waiting = tuple(Waiting(str(index), length, length) for index, length in enumerate(lengths))
    batches: Batches = []
    while waiting:
        step = plan_step(EngineView(waiting, 0, None, 0), limits)
        groups = _groups(step)
        batches += [[lengths[int(name)] for name in group] for group in groups]
        taken = {name for group in groups for name in group}
        waiting = tuple(entry for entry in waiting if entry.sequence_id not in taken)
    return batches


def _groups(step: StepPlan) -> list[tuple[str, ...]]:
    """Return the step's runs; a prompt that goes in chunks is a run of its own."""
    chunked = [(step.start_chunked,)] if step.start_chunked else []
    return chunked + list(step.batches)


def padding(batches: Batches) -> float:
    """Return the share of computed positions that are padding."""
    computed = sum(len(batch) * max(batch) for batch in batches)
    return 1 - sum(map(sum, batches)) / computed


def largest_run(ways: Iterable[Batches]) -> int:
    """Return the positions of the largest batch of all ways, padding among them."""
    return max(len(batch) * max(batch) for batches in ways for batch in batches)


def run(engine: OnnxLoop, batches: Batches, random: np.random.Generator, vocab: int) -> float:
    """Return the seconds that all batches take."""
    start = time.perf_counter()
    for batch in batches:
        ids = random.integers(0, vocab, size=(len(batch), max(batch)))
        engine.run(ids, past=0, lengths=np.array(batch))
    return time.perf_counter() - start


def main() -> None:
    """Run the three ways in turns and write prompts per second and padding of each."""
    job = jobs.read(Path(sys.argv[1]))
    random = np.random.default_rng(job.seed)
    lengths = np.exp(random.uniform(np.log(SHORTEST), np.log(LONGEST), PROMPTS)).astype(int).tolist()
    ways = {"alone": alone(lengths), "padded": padded(lengths), "bucketed": bucketed(lengths)}
    largest = largest_run(ways.values())
    engine = OnnxLoop(replace(job, decode_streams=(ROWS,), prompt_tokens=LONGEST, decode_tokens=1, run_tokens=largest))
    run(engine, ways["padded"], random, job.vocab)
    turns = list(ways) if job.seed % 2 == 0 else list(ways)[::-1]
    seconds = {name: run(engine, ways[name], random, job.vocab) for name in turns}
    result = {
        name: {"rate": PROMPTS / seconds[name], "padding": padding(batches), "runs": len(batches)}
        for name, batches in ways.items()
    }
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
