"""autoglmctl bench: how fast the daemon answers several clients at once, as they see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from autoglmctl.bench_stats import BenchResult, StreamTimes, summarize
from autoglmctl.failures import CommandError
from autoglmctl.invocation import Invocation
from autoglmctl.options import ModelOption
from autoglmctl.step_bars import StepBars

if TYPE_CHECKING:
    from openglm import AsyncClient

# Ids that every vocabulary has, past the special tokens that most begin with.
_LOWEST_ID = 300
_STEP = "answering"
# What the streams measured, and how many requests the daemon had no room for.
Measured: TypeAlias = tuple[list[StreamTimes], int]


@dataclass(frozen=True)
class Load:
    """What is asked of the daemon."""

    streams: Annotated[
        int, typer.Option("--streams", "-c", min=1, max=1024, metavar="N", help="Requests at the same time.")
    ] = 8
    requests: Annotated[int, typer.Option("--requests", min=0, metavar="N", help="In all; 0: one per stream.")] = 0
    prompt_tokens: Annotated[
        int, typer.Option("--prompt-tokens", min=1, metavar="N", help="Length of each prompt.")
    ] = 128
    tokens: Annotated[int, typer.Option("--tokens", "-n", min=1, metavar="N", help="Length of each answer.")] = 64
    seed: Annotated[
        int | None,
        typer.Option(help="Of the prompts' random tokens. Unset: others each time, since daemons remember prompts."),
    ] = None

    @property
    def total(self) -> int:
        """How many requests are made."""
        return self.requests or self.streams


def bench(invocation: Invocation, model: ModelOption, load: Load) -> None:
    """Measure time to first token and tokens per second under concurrent streams.

    Requests that the daemon has no room for, tried a few times, are counted as refused.

    Prompts are random tokens, each different, so that nothing is cached; answers run to their full length. Times are
    the client's own, from sending the request.
    """
    import asyncio

    with StepBars(invocation.terminal) as bars:
        times, refused = asyncio.run(_run(invocation, model.model, load, bars))
    result = summarize(times, min(load.streams, load.total), load.prompt_tokens, refused)
    invocation.show(result, lambda: _table(result))


async def _run(invocation: Invocation, model: str, load: Load, bars: StepBars) -> Measured:
    import asyncio

    from openglm import CapacityError

    async with invocation.async_client() as client:
        # Before, its vocabulary is not known.
        served = await client.wait_until_ready(model)
        prompts = iter(random_prompts(load, served.vocab_size))
        times: list[StreamTimes] = []
        refusals: list[CapacityError] = []

        async def work() -> None:
            for prompt in prompts:
                try:
                    times.append(await measure(client, prompt, model, load.tokens))
                except CapacityError as error:
                    # What the others measure is no less true; how many were refused is part of the result.
                    refusals.append(error)
                bars.show(_STEP, (len(times) + len(refusals)) / load.total)

        bars.show(_STEP, 0.0)
        workers = [asyncio.create_task(work()) for _ in range(min(load.streams, load.total))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
    if not times:
        raise refusals[0]
    return times, len(refusals)


async def measure(
    client: AsyncClient, prompt: list[int], model: str, tokens: int, clock: Callable[[], float] = time.monotonic
) -> StreamTimes:
    """Ask once, and note when tokens came."""
    from openglm import Token

    begun = clock()
    first = last = 0.0
    count = 0
    stream = client.stream(token_ids=prompt, model=model, max_tokens=tokens, ignore_eos=True, temperature=0.0)
    async with stream:
        async for event in stream:
            if isinstance(event, Token) and event.ids:
                last = clock()
                first = first or last
                count += len(event.ids)
    if not count:
        raise CommandError("The daemon answered without a single token; nothing can be measured.")
    return StreamTimes(begun, first, last, count)


def random_prompts(load: Load, vocab_size: int) -> Iterator[list[int]]:
    """A different prompt of random ordinary tokens for each request."""
    import random

    draw = random.Random(load.seed)  # noqa: S311 - a benchmark's prompts are no secret
    lowest = min(_LOWEST_ID, vocab_size // 2)
    for _ in range(load.total):
        yield [draw.randrange(lowest, max(vocab_size, lowest + 1)) for _ in range(load.prompt_tokens)]


def _table(result: BenchResult) -> tuple[Any, ...]:
    from autoglmctl.model_tables import facts_table

    values = asdict(result)
    title = (
        f"{result.requests} requests, {result.streams} at a time, prompts of {result.prompt_tokens} tokens, "
        f"{result.output_tokens} tokens out in all"
    )
    if result.refused:
        title += f"; {result.refused} more were refused, because the daemon's line was full"
    return title, facts_table("", {label: f"{values[name]:{form}}" for label, (name, form) in _ROWS.items()})


_ROWS = {
    "time to first token, median, s": ("ttft_p50", ".3f"),
    "time to first token, 95 %, s": ("ttft_p95", ".3f"),
    "tokens/s per stream, median": ("stream_tokens_per_second_p50", ".1f"),
    "tokens/s per stream, slowest": ("stream_tokens_per_second_min", ".1f"),
    "tokens/s, all streams together": ("total_tokens_per_second", ".1f"),
    "wall time of all, s": ("seconds", ".2f"),
}
