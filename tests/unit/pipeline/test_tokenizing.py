"""The Tokenize calls: bounded, and apart from the loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from autoglmd.errors.availability import QueueFullError
from autoglmd.messages.generation import SamplingParams, TextPrompt
from autoglmd.pipeline.prompts import PromptRules
from autoglmd.pipeline.tokenizing import AT_ONCE, PLACES, Tokenizing

LIMIT_SECONDS = 10.0
PROMPT = TextPrompt("abc")


class GatedTokenizer:
    """One token per character; holds while the gate is closed, and counts who is in."""

    size = 512
    special: frozenset[str] = frozenset()
    longest_piece = 1

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.calls = 0
        self.threads: set[int] = set()

    def encode(self, text: str, *, add_prefix: bool) -> list[int]:
        """See Tokenizer.encode."""
        self.calls += 1
        self.threads.add(threading.get_ident())
        self.arrived.release()
        assert self.gate.wait(LIMIT_SECONDS)
        return [ord(letter) % 100 for letter in text]

    def decode(self, ids: Sequence[int]) -> str:
        """Not the point."""
        return "x"

    def piece(self, token_id: int) -> str:
        """See Tokenizer.piece."""
        self.threads.add(threading.get_ident())
        return "x"


class Rig:
    """Tokenizing with a tokenizer that obeys the test."""

    def __init__(self) -> None:
        self.tokenizer = GatedTokenizer()
        self.rules = PromptRules(self.tokenizer, None, 512, 64, 64, 8, frozenset(), SamplingParams())
        self.tokenizing = Tokenizing()

    def start(self, count: int) -> "list[asyncio.Task[object]]":
        """Callers."""
        return [asyncio.create_task(self.tokenizing.tokens(PROMPT, self.rules)) for _ in range(count)]

    async def wait_held(self, count: int) -> None:
        """Until so many more calls hold."""
        for _ in range(count):
            assert await asyncio.to_thread(self.tokenizer.arrived.acquire, timeout=LIMIT_SECONDS)


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    """A rig whose threads end."""
    rig = Rig()
    yield rig
    rig.tokenizer.gate.set()


async def test_a_few_are_tokenized_at_once_and_off_the_loop(rig: Rig) -> None:
    """The others wait for their turn. Naming a million tokens would hold up everybody just as encoding them."""
    callers = rig.start(AT_ONCE + 3)
    await rig.wait_held(AT_ONCE)
    assert rig.tokenizer.calls == AT_ONCE
    rig.tokenizer.gate.set()
    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.gather(*callers)
    assert threading.get_ident() not in rig.tokenizer.threads


async def test_a_line_that_is_full_refuses(rig: Rig) -> None:
    """With when to come back; and takes the next as soon as there is a place."""
    callers = rig.start(AT_ONCE + PLACES)
    await rig.wait_held(AT_ONCE)
    with pytest.raises(QueueFullError) as refusal:
        await rig.tokenizing.tokens(PROMPT, rig.rules)
    assert refusal.value.limit == PLACES
    rig.tokenizer.gate.set()
    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.gather(*callers)
        await rig.tokenizing.tokens(PROMPT, rig.rules)


async def test_callers_that_leave_do_not_start_more_threads(rig: Rig) -> None:
    """Who waits costs nothing more; who is being tokenized keeps the thread until it is done."""
    callers = rig.start(AT_ONCE + 3)
    await rig.wait_held(AT_ONCE)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    (late,) = rig.start(1)
    await asyncio.sleep(0)
    assert rig.tokenizer.calls == AT_ONCE
    rig.tokenizer.gate.set()
    async with asyncio.timeout(LIMIT_SECONDS):
        await late
    assert rig.tokenizer.calls == AT_ONCE + 1
