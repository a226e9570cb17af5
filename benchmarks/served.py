"""The daemon under the race's workloads: one process, asked over gRPC by a client that keeps the time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.daemon_process import EngineChoice, daemon
from benchmarks.engines.base import COMPARED_PROMPTS, WARM_STEPS, Figures, prefill_rates, prompts
from benchmarks.job import Job
from benchmarks.settings import Settings
from benchmarks.store import Result
from benchmarks.streams import Trace, decode_together, read_stream, steady_depth, steady_rate
from openglm import AsyncClient


def run(settings: Settings, job: Job) -> Result:
    """Run the job's workloads against one daemon, whose other settings are its own defaults; see `worker.main`."""
    choice = EngineChoice(rows=job.most_streams, context_tokens=job.context)
    with daemon(settings, Path(job.model), choice, job.amx) as running, asyncio.Runner() as runner:
        client = AsyncClient(running.socket)
        try:
            load = Load(runner, client)
            figures = load.figures(job).as_result()
            return {**figures, "facts": running.facts(), "tokens": load.greedy_tokens(job)}
        finally:
            runner.run(client.close())


class Load:
    """Requests to one daemon. The event loop runs only while something is measured."""

    def __init__(self, runner: asyncio.Runner, client: AsyncClient) -> None:
        """Take a loop and a client of it."""
        self._runner = runner
        self._client = client

    def figures(self, job: Job) -> Figures:
        """Measure what `engines.base.measure` does."""
        random = np.random.default_rng(job.seed)
        figures = Figures(prefill_rates(self.prefill, job, random), {})
        for streams in job.decode_streams:
            batch = prompts(random, job.vocab, streams, job.prompt_tokens)
            rate, past = self.decode_rate(batch, job)
            figures.rates[f"decode_{streams}"], figures.mean_past[f"decode_{streams}"] = rate, past
        return figures

    def prefill(self, prompt: Sequence[int]) -> tuple[float, int]:
        """Return the seconds from sending a prompt to its first token, nothing else running; and that token."""
        trace = Trace()
        self._runner.run(read_stream(self._client, prompt, 1, trace))
        return trace.arrivals[0] - trace.sent, trace.ids[0]

    def decode_rate(self, batch: Sequence[Sequence[int]], job: Job) -> tuple[float, float]:
        """Return tokens per second of all streams while all of them decode, and their mean past meanwhile."""
        decoding = decode_together(self._client, batch, job.decode_tokens, WARM_STEPS, job.decode_seconds)
        traces = self._runner.run(decoding)
        return steady_rate(traces, WARM_STEPS), job.prompt_tokens + steady_depth(traces, WARM_STEPS)

    def greedy_tokens(self, job: Job) -> list[int]:
        """Return the token after each prompt that engines are compared by, or none if the job compares none."""
        if not job.compare_tokens:
            return []
        compared = prompts(np.random.default_rng(job.seed + 1), job.vocab, COMPARED_PROMPTS, job.prompt_tokens)
        return [self.prefill(prompt)[1] for prompt in compared]
