"""Streams over gRPC, as a client sees them: when which tokens came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from openglm import AsyncClient, GenerateOptions, PrefillProgress, Token

TIMEOUT_SECONDS = 600


@dataclass
class Trace:
    """What one stream brought. Owned by the task that reads it; others read it after that task."""

    sent: float = 0.0
    arrivals: list[float] = field(default_factory=list)
    """When each token came, on the monotonic clock, in seconds."""
    ids: list[int] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)
    """When prefill progress came."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with the first token."""


async def read_stream(client: AsyncClient, prompt: Sequence[int], max_tokens: int, trace: Trace) -> None:
    """Send one greedy request of token ids and note what comes."""
    trace.sent = time.perf_counter()
    options: GenerateOptions = {"max_tokens": max_tokens, "temperature": 0.0, "ignore_eos": True}
    options["timeout"] = TIMEOUT_SECONDS
    async with client.stream(token_ids=prompt, **options) as events:
        async for event in events:
            now = time.perf_counter()
            if isinstance(event, Token):
                trace.arrivals += [now] * len(event.ids)
                trace.ids += event.ids
                trace.begun.set()
            elif isinstance(event, PrefillProgress):
                trace.progress.append(now)


async def run_together(address: str, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Trace]:
    """Run all prompts at once, each to its end."""
    traces = [Trace() for _ in prompts]
    async with AsyncClient(address) as client, asyncio.TaskGroup() as tasks:
        for prompt, trace in zip(prompts, traces, strict=True):
            tasks.create_task(read_stream(client, prompt, max_tokens, trace))
    return traces


def steady_rate(traces: Sequence[Trace], warm_tokens: int) -> float:
    """Return tokens per second of all streams while all of them were decoding.

    That is: from when the last of them had `warm_tokens`, to when the first of them had its last.
    """
    start = max(trace.arrivals[warm_tokens] for trace in traces)
    end = min(trace.arrivals[-1] for trace in traces)
    count = sum(start < arrival <= end for trace in traces for arrival in trace.arrivals)
    return count / (end - start)


def longest_gap(trace: Trace, start: float, end: float) -> float:
    """Return the longest pause between two tokens of a stream that overlaps the time from `start` to `end`."""
    pairs = zip(trace.arrivals, trace.arrivals[1:], strict=False)
    return max((later - earlier for earlier, later in pairs if later > start and earlier < end), default=0.0)
