"""The `Tokenize` calls: a few at a time, apart from the event loop, and no more of them in line than is bearable."""

import asyncio

from autoglmd.messages.generation import ChatPrompt, TextPrompt, Tokens
from autoglmd.pipeline.apart import run_apart
from autoglmd.pipeline.line import Line
from autoglmd.pipeline.prompts import PromptRules, to_tokens

# Two, so that a short text need not wait for a long one; no more, because the engines want the processor.
AT_ONCE = 2
PLACES = 64


class Tokenizing:
    """Tokenizes for clients that want no answer. Lives on the event loop."""

    def __init__(self) -> None:
        self._line = Line(AT_ONCE, PLACES)
        self._free = asyncio.Semaphore(AT_ONCE)
        self._running: set[asyncio.Task[Tokens]] = set()

    async def tokens(self, prompt: TextPrompt | ChatPrompt, rules: PromptRules) -> Tokens:
        """Ids and pieces of a prompt. Raises QueueFullError, and what `to_tokens` does."""
        self._line.enter()
        try:
            await self._free.acquire()
            # Shielded: a caller that leaves does not end the thread, which makes room when it is done and not before.
            return await asyncio.shield(self._start(prompt, rules))
        finally:
            self._line.leave()

    def _start(self, prompt: TextPrompt | ChatPrompt, rules: PromptRules) -> "asyncio.Task[Tokens]":
        work = asyncio.create_task(run_apart("tokenize", lambda: to_tokens(prompt, rules)))
        self._running.add(work)
        work.add_done_callback(self._finished)
        return work

    def _finished(self, work: "asyncio.Task[Tokens]") -> None:
        self._running.discard(work)
        self._free.release()
