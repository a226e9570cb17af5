"""Streams over gRPC, as a client sees them: when which tokens came."""

from __future__ import annotations

import asyncio
import statistics
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
    warm_tokens: int = 1
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when `warm_tokens` have come, or with the stream's end."""


async def read_stream(client: AsyncClient, prompt: Sequence[int], max_tokens: int, trace: Trace) -> None:
    """Send one greedy request of token ids and note what comes."""
    trace.sent = time.perf_counter()
    options: GenerateOptions = {"max_tokens": max_tokens, "temperature": 0.0, "ignore_eos": True}
    options["timeout"] = TIMEOUT_SECONDS
    try:
        async with client.stream(token_ids=prompt, **options) as events:
            async for event in events:
                _note(event, trace)
    finally:
        trace.begun.set()


def _note(event: object, trace: Trace) -> None:
    now = time.perf_counter()
    if isinstance(event, Token):
        trace.arrivals += [now] * len(event.ids)
        trace.ids += event.ids
        if len(trace.arrivals) >= trace.warm_tokens:
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


async def decode_together(
    client: AsyncClient, prompts: Sequence[Sequence[int]], max_tokens: int, warm_tokens: int, seconds: float
) -> list[Trace]:
    """Run all prompts at once, until all of them have decoded for `seconds` behind their first `warm_tokens`.

    The first stream that reaches `max_tokens` ends it earlier.

    Raises:
        OpenGLMError: a stream failed.
    """
    traces = [Trace(warm_tokens=warm_tokens + 1) for _ in prompts]
    tasks = [
        asyncio.create_task(read_stream(client, prompt, max_tokens, trace))
        for prompt, trace in zip(prompts, traces, strict=True)
    ]
    await asyncio.gather(*(trace.begun.wait() for trace in traces))
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [end for end in ends if isinstance(end, Exception)]
    if failures:
        raise failures[0]
    return traces


def steady_rate(traces: Sequence[Trace], warm_tokens: int) -> float:
    """Return tokens per second of all streams while all of them were decoding.

    That is: from when the last of them had `warm_tokens`, to when the first of them had its last. The tokens of a step
    come one after the other, so each stream is counted from a token of its own to a token of its own: whole steps.

    Raises:
        ValueError: there was no such time.
    """
    start, end = _steady(traces, warm_tokens)
    return sum(rate_between(trace, start, end) for trace in traces)


def steady_depth(traces: Sequence[Trace], warm_tokens: int) -> float:
    """Return how many tokens of its own a stream had when it decoded one that `steady_rate` counts: the mean."""
    start, end = _steady(traces, warm_tokens)
    depths: list[int] = []
    for trace in traces:
        within = [index for index, arrival in enumerate(trace.arrivals) if start <= arrival <= end]
        # The step that brought token 5 was given token 4; tokens 0 to 3 were in the cache.
        depths += [index - 1 for index in within[1:]]
    return statistics.fmean(depths)


def _steady(traces: Sequence[Trace], warm_tokens: int) -> tuple[float, float]:
    """Return when the last stream was warm, and when the first one had its last token."""
    return max(trace.arrivals[warm_tokens] for trace in traces), min(trace.arrivals[-1] for trace in traces)


def rate_between(trace: Trace, start: float, end: float) -> float:
    """Return tokens per second of a stream between two moments, from a token of its own to a token of its own.

    Raises:
        ValueError: it had less than two tokens meanwhile.
    """
    within = [arrival for arrival in trace.arrivals if start <= arrival <= end]
    if len(within) < 2:
        raise ValueError("the streams did not decode at the same time long enough; let them have more tokens")
    return (len(within) - 1) / (within[-1] - within[0])


def longest_gap(trace: Trace, start: float, end: float) -> float:
    """Return the longest pause between two tokens of a stream that overlaps the time from `start` to `end`."""
    pairs = zip(trace.arrivals, trace.arrivals[1:], strict=False)
    return max((later - earlier for earlier, later in pairs if later > start and earlier < end), default=0.0)
