"""Sessions that come back: many, each for one more turn, by so many clients at a time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from benchmarks.sessions.turns import ask
from openglm import AsyncClient

LOOK_SECONDS = 0.02


@dataclass
class Returned:
    """What a crowd of clients did together. Owned by `serve_all`; others read it after that.

    Attributes:
        seconds: until all that was said is saved.
        answered: until the last answer.
        tokens: of all answers.
        cached: of all prompts, those that came out of sessions.
    """

    seconds: float = 0.0
    answered: float = 0.0
    requests: int = 0
    tokens: int = 0
    cached: int = 0
    tiers: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    def add(self, later: Returned) -> None:
        """Count what was done afterwards, too."""
        self.seconds += later.seconds
        self.answered += later.answered
        self.requests += later.requests
        self.tokens += later.tokens
        self.cached += later.cached
        self.tiers += later.tiers


async def serve_all(address: str, turns: Iterable[tuple[str, str]], clients: int, max_tokens: int) -> Returned:
    """Ask for every (session, text): each client asks for the next one when it has its whole answer.

    Raises:
        OpenGLMError: a stream failed.
    """
    waiting, done = iter(turns), Returned()
    start = time.perf_counter()
    async with AsyncClient(address) as client, asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(_serve(client, waiting, max_tokens, done))
    done.answered = time.perf_counter() - start
    async with AsyncClient(address) as client:
        await _all_saved(client)
    done.seconds = time.perf_counter() - start
    return done


async def _all_saved(client: AsyncClient) -> None:
    """Wait until the daemon owes nothing: what is not saved yet has no bytes on disk."""
    # What is waited for is another process's: there is no event of ours.
    while any(session.disk_bytes == 0 for session in await client.sessions()):  # noqa: ASYNC110
        await asyncio.sleep(LOOK_SECONDS)


async def _serve(client: AsyncClient, waiting: Iterator[tuple[str, str]], max_tokens: int, done: Returned) -> None:
    # One iterator for all: whoever is free takes the next turn.
    for session, text in waiting:
        answer = await ask(client, text, session, max_tokens)
        done.requests += 1
        done.tokens += len(answer.ids)
        done.cached += answer.cached_tokens
        done.tiers[answer.tier] += 1
