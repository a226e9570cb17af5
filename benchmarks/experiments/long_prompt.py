"""How long running streams pause while somebody's 2,000-token prompt is computed."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from functools import partial

import numpy as np

from benchmarks import assets
from benchmarks.contenders import SCHEMES, Contender
from benchmarks.daemon_process import EngineChoice, daemon
from benchmarks.engines.base import prompts
from benchmarks.experiments.section import Section
from benchmarks.markdown import table
from benchmarks.settings import Settings
from benchmarks.spread import Spread, paired_ratio
from benchmarks.store import Result, Store
from benchmarks.streams import Trace, longest_gap, read_stream, run_together
from benchmarks.verdict import at_most_in_every_round
from openglm import AsyncClient

LONG_TOKENS = 2000
RUNNING = 7
GOAL = 2.0
CHOICE = EngineChoice(rows=RUNNING + 1, context_tokens=2560)


class LongPrompt:
    """Seven streams decode, and a long prompt arrives."""

    name = "long-prompt"

    def measure(self, settings: Settings, store: Store) -> None:
        """First the prompt alone, for its chunks' time, then among running streams, in one daemon."""
        for shape in settings.shapes:
            for contender in SCHEMES:
                for number in range(settings.rounds):
                    key = f"{self.name}/{shape}/{contender.key}/{number}"
                    store.need(key, partial(_measure, settings, contender, shape, number))

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table."""
        rows = [
            _row(f"{shape}, {contender.build}", results)
            for shape in settings.shapes
            for contender in SCHEMES
            if (results := list(store.under(f"{self.name}/{shape}/{contender.key}").values()))
        ]
        if not rows:
            return []
        note = (
            f"{RUNNING} streams decode while a prompt of {LONG_TOKENS} tokens is computed in chunks of "
            f"{CHOICE.prefill_chunk_tokens}. A chunk's time is the median over the chunks of the same prompt computed "
            "alone in the same daemon. Times in milliseconds, seen by the client; the longest pause of any stream."
        )
        header = [
            "",
            "a chunk's time",
            "longest pause",
            f"pause / chunk (limit: at most {GOAL}, judged by the worst round)",
        ]
        return [Section("A long prompt among running streams", f"{note}\n\n{table(header, rows)}")]


def _measure(settings: Settings, contender: Contender, shape: str, number: int) -> Result:
    print(f"long prompt, {shape}, round {number}: {contender.build}", flush=True)
    random = np.random.default_rng(number)
    vocab = settings.vocab(shape)
    long_prompt = prompts(random, vocab, 1, LONG_TOKENS)[0]
    with daemon(settings, assets.need(settings, shape, contender.kind), CHOICE) as running:
        alone = asyncio.run(run_together(running.socket, [long_prompt], 2))[0]
        gap = asyncio.run(_gap(running.socket, prompts(random, vocab, RUNNING, 32), long_prompt[::-1]))
    chunks = [later - earlier for earlier, later in zip(alone.progress, alone.progress[1:], strict=False)]
    return {"chunk": statistics.median(chunks), "longest_chunk": max(chunks), "gap": gap}


async def _gap(address: str, running: Sequence[Sequence[int]], long_prompt: Sequence[int]) -> float:
    """Start the running streams, then the long prompt; end everything once that has its first token."""
    traces, long_trace = [Trace() for _ in running], Trace()
    async with AsyncClient(address) as client:
        tasks = [
            asyncio.create_task(read_stream(client, prompt, 2000, trace))
            for prompt, trace in zip(running, traces, strict=True)
        ]
        await asyncio.gather(*(trace.begun.wait() for trace in traces))
        await read_stream(client, long_prompt, 1, long_trace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return max(longest_gap(trace, long_trace.sent, long_trace.arrivals[0]) for trace in traces)


def _row(title: str, results: Sequence[Result]) -> list[str]:
    chunks, gaps = [result["chunk"] for result in results], [result["gap"] for result in results]
    verdict = at_most_in_every_round(paired_ratio(gaps, chunks), GOAL)
    milliseconds = [Spread.of([value * 1000 for value in values]).text() for values in (chunks, gaps)]
    return [title, *milliseconds, verdict.text]
