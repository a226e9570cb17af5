"""One turn of a session, as a client sees it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openglm import AsyncClient, CacheTier, GenerateOptions, Started, Token

TIMEOUT_SECONDS = 600
Prompt = str | Sequence[int] | Sequence[Mapping[str, str]]


@dataclass
class Answer:
    """What came back. Owned by the task that reads it; others read it after that task.

    Attributes:
        first: seconds from sending to the first token.
        whole: and to the end.
        prompt_tokens: of the whole conversation.
        cached_tokens: of them, those that needed no computing.
        tier: where those came from; see openglm's CacheTier.
    """

    first: float = 0.0
    whole: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tier: str = CacheTier.UNSPECIFIED.value
    ids: list[int] = field(default_factory=list)


async def ask(
    client: AsyncClient, prompt: Prompt, session: str = "", max_tokens: int = 1, ignore_eos: bool = True
) -> Answer:
    """Ask greedily, in a session if it is named; the prompt is text, token ids, or messages of a chat.

    Raises:
        OpenGLMError: the stream failed.
    """
    options: GenerateOptions = {"max_tokens": max_tokens, "temperature": 0.0, "ignore_eos": ignore_eos}
    options["timeout"] = TIMEOUT_SECONDS
    if session:
        options["session_id"] = session
    answer, sent = Answer(), time.perf_counter()
    async with client.stream(**_given(prompt), **options) as events:
        async for event in events:
            _note(event, answer, time.perf_counter() - sent)
    answer.whole = time.perf_counter() - sent
    return answer


def _given(prompt: Prompt) -> dict[str, Any]:
    if isinstance(prompt, str):
        return {"prompt": prompt}
    return {"messages" if prompt and isinstance(prompt[0], Mapping) else "token_ids": prompt}


def _note(event: object, answer: Answer, after: float) -> None:
    if isinstance(event, Started):
        answer.prompt_tokens, answer.cached_tokens = event.prompt_tokens, event.cached_tokens
        answer.tier = event.cache_tier.value
    elif isinstance(event, Token):
        answer.first = answer.first or after
        answer.ids += event.ids


@contextlib.contextmanager
def talking(address: str) -> Iterator[Callable[..., Answer]]:
    """`ask` of a client of its own, for whoever asks one thing after the other."""
    with asyncio.Runner() as runner:
        client = AsyncClient(address)
        try:
            yield lambda *prompt, **options: runner.run(ask(client, *prompt, **options))
        finally:
            runner.run(client.close())
