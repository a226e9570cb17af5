"""Many conversations at once, in too little memory, on a bad disk: no answer holds anything of another's."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from autoglmd.config.rooms import SessionsConfig
from autoglmd.messages.generation import ChatPrompt, Finished, FinishReason, Message, Overflow, Started, StreamEvent
from autoglmd.messages.sessions import CacheMiss, CacheTier, SessionKey
from tests.support.moody_disk import MoodyDisk
from tests.support.session_box import GREEDY, SEEDED, USUAL, Box, ids_of, started, text_of

TURNS = 200
SESSIONS = 8
# Of tiny-int8, a conversation of some turns is about 20 kB with its keys and values.
TINY = SessionsConfig(memory_bytes=200_000, unsaved_bytes=100_000)
TIGHT = SessionsConfig(memory_bytes=100_000, unsaved_bytes=100_000, disk_bytes=60_000)
_BEGUN = (CacheMiss.NEW_SESSION, CacheMiss.EVICTED)
_COMPUTED_AGAIN = (CacheMiss.NOT_KEPT, CacheMiss.DAMAGED)

Open = Callable[..., Box]


@dataclass
class Probe:
    """One session, and how often it was begun."""

    name: str
    lives: int = 0


@pytest_asyncio.fixture(name="open_box")
async def make_boxes(tmp_path: Path) -> AsyncIterator[Open]:
    """Boxes over one folder, unless another is named; a disk that fails is mended before the end."""
    boxes: list[Box] = []

    def make(sessions: SessionsConfig = USUAL, where: str = "box") -> Box:
        boxes.append(Box(tmp_path / where, "tiny-int8", sessions))
        return boxes[-1]

    yield make
    for box in boxes:
        disk = box.book._store._files.disk
        if isinstance(disk, MoodyDisk):
            disk.probability = 0.0
        await box.stop()


class Crowd:
    """Sessions that talk at random, some at the same time, each checked against a daemon that nothing disturbs."""

    def __init__(self, box: Box, quiet: Box, seed: int) -> None:
        self.box = box
        self.quiet = quiet
        self.tiers: Counter[CacheTier | None] = Counter()
        self.misses: Counter[CacheMiss | None] = Counter()
        self._random = random.Random(seed)  # noqa: S311 - the same talk each time
        self._probes = [Probe(f"s{number}") for number in range(SESSIONS)]

    async def talk(self, turns: int) -> None:
        """So many turns, one to four at a time."""
        while turns > 0:
            together = self._random.sample(self._probes, min(turns, self._random.randint(1, 4)))
            await asyncio.gather(*(self._turn(each) for each in together))
            turns -= len(together)

    async def _turn(self, probe: Probe) -> None:
        secret = f"{probe.name} says {self._random.randrange(10**6)} "
        sampling = self._random.choice([GREEDY, SEEDED])
        new = Message("user", secret * self._random.randint(1, 3))
        drop = Overflow.DROP_OLDEST
        events = await self.box.ask(ChatPrompt((new,)), probe.name, sampling=sampling, overflow=drop)
        head, end = started(events), events[-1]
        self.tiers[head.cache.tier] += 1
        self.misses[head.cache.miss] += 1
        assert isinstance(end, Finished)
        assert end.reason is FinishReason.LENGTH
        expected = await self.quiet.ask(ChatPrompt((new,)), self._life(probe, head), sampling=sampling, overflow=drop)
        assert (head.prompt_tokens, head.dropped_messages) == told_in(expected)
        assert ids_of(events) == ids_of(expected)
        assert text_of(events) == text_of(expected)

    def _life(self, probe: Probe, head: Started) -> str:
        """The undisturbed daemon's session that says what this one's should; none, where it was to say nothing."""
        before = SessionKey("local", f"{probe.name}, life {probe.lives}")
        if head.cache.miss is CacheMiss.UNREADABLE:
            # What was not read is no part of the session, and neither is the answer.
            return ""
        probe.lives += head.cache.miss in (*_BEGUN, *_COMPUTED_AGAIN)
        after = SessionKey("local", f"{probe.name}, life {probe.lives}")
        if head.cache.miss in _COMPUTED_AGAIN:
            # Kernels for prompts and for decodes may differ in the last bit: who computes again says so.
            told = self.quiet.book.find(before)
            assert told is not None
            kept = told.blocks_until(head.cache.cached_tokens)
            self.quiet.book.commit(replace(told, key=after, blocks=kept))
        return after.session_id


def told_in(events: list[StreamEvent]) -> tuple[int, int]:
    """How long a prompt was, and how many messages went of it."""
    return started(events).prompt_tokens, started(events).dropped_messages


async def test_eight_sessions_in_little_memory_answer_as_undisturbed_ones(open_box: Open) -> None:
    """From memory, from disk and from what waits to be written, through restarts, with neighbours in the batch."""
    crowd = Crowd(open_box(TINY), open_box(where="quiet"), 1)
    for part in range(4):
        await crowd.talk(TURNS // 4)
        if part < 3:
            await crowd.box.stop()
            crowd.box = open_box(TINY)
    assert crowd.tiers[CacheTier.MEMORY] + crowd.tiers[CacheTier.ROW] > TURNS // 10
    assert crowd.tiers[CacheTier.DISK] > TURNS // 10
    assert crowd.misses[CacheMiss.NEW_SESSION] == SESSIONS
    assert set(crowd.misses) <= {None, CacheMiss.NEW_SESSION, CacheMiss.NOT_KEPT, CacheMiss.CONTEXT_MOVED}


async def test_sessions_that_were_evicted_begin_anew_and_say_so(open_box: Open) -> None:
    """With nothing of what they or others said."""
    crowd = Crowd(open_box(TIGHT), open_box(where="quiet"), 2)
    await crowd.talk(TURNS // 2)
    assert crowd.misses[CacheMiss.EVICTED] > 5
    assert crowd.box.gateway.sessions().evicted > 5


@pytest.mark.parametrize("probability", [0.05, 0.3])
async def test_a_disk_that_fails_at_random_breaks_no_stream_and_mixes_nothing(
    open_box: Open, probability: float
) -> None:
    """What it does not give is told, and what it does not take waits."""
    crowd = Crowd(open_box(TINY), open_box(where="quiet"), 3)
    store = crowd.box.book._store
    disk = store._files.disk = store.beginnings._disk = MoodyDisk(4, probability)
    crowd.box.book._write_back._retry_seconds = 0.01
    await crowd.talk(TURNS // 2)
    assert disk.faults > 5
    assert sum(crowd.misses.values()) == TURNS // 2
    figures = crowd.box.gateway.sessions()
    assert figures.failed_saves > 0
    assert figures.misses == sum(crowd.misses.values()) - crowd.misses[None] - crowd.misses[CacheMiss.NEW_SESSION]
    assert figures.from_disk == crowd.tiers[CacheTier.DISK]
    assert figures.from_memory == crowd.tiers[CacheTier.MEMORY]
    assert figures.from_rows == crowd.tiers[CacheTier.ROW]
