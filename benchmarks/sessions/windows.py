"""Streams that decode all the time, and what goes on beside them by turns."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from benchmarks.streams import Trace, rate_between, read_stream
from openglm import AsyncClient

Beside = Callable[[], Awaitable[object]]
"""One thing that goes on beside the streams: runs until it is cancelled."""
WARM_TOKENS = 8
SETTLE_SECONDS = 0.5


def balanced(names: Sequence[str], repeats: int) -> list[str]:
    """Return an order in which each comes as early as late, so that streams that slow down favour none."""
    return [name for number in range(repeats) for name in (names if number % 2 == 0 else names[::-1])]


async def rates(
    client: AsyncClient,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    turns: Sequence[tuple[str, Beside]],
    seconds: float,
) -> dict[str, list[float]]:
    """Let all prompts decode, and each turn go on for `seconds` beside them; return tokens per second, by its name.

    Raises:
        ValueError: the streams ended before all turns had been.
    """
    traces = [Trace(warm_tokens=WARM_TOKENS) for _ in prompts]
    found: dict[str, list[float]] = {}
    async with _decoding(client, prompts, max_tokens, traces):
        for name, beside in turns:
            start, end = await _during(beside, seconds)
            if min(len(trace.arrivals) for trace in traces) >= max_tokens:
                raise ValueError(f"the streams ended within {max_tokens} tokens; let them have more")
            found.setdefault(name, []).append(sum(rate_between(trace, start, end) for trace in traces))
    return found


@asynccontextmanager
async def _decoding(
    client: AsyncClient, prompts: Sequence[Sequence[int]], max_tokens: int, traces: Sequence[Trace]
) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(read_stream(client, prompt, max_tokens, trace))
        for prompt, trace in zip(prompts, traces, strict=True)
    ]
    try:
        await asyncio.gather(*(trace.begun.wait() for trace in traces))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _during(beside: Beside, seconds: float) -> tuple[float, float]:
    """Let something go on; return when it had settled, and when it was over."""
    task = asyncio.ensure_future(beside())
    try:
        await asyncio.wait((task,), timeout=SETTLE_SECONDS)
        start = time.perf_counter()
        await asyncio.wait((task,), timeout=seconds)
        return start, time.perf_counter()
    finally:
        task.cancel()
        ends = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ends[0], Exception):
            raise ends[0]


async def nothing() -> None:
    """Let the streams alone."""
    await asyncio.Event().wait()


async def every(seconds: float, once: Callable[[int], Awaitable[object]]) -> None:
    """Begin something again and again, whether or not what was begun before has ended; wait for all that is open."""
    running: set[asyncio.Task[object]] = set()
    due = time.perf_counter()
    try:
        for number in itertools.count():
            running.add(asyncio.ensure_future(once(number)))
            # Not behind what was begun: however long that takes, the next one begins in time.
            due += seconds
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
    finally:
        await asyncio.gather(*running)
