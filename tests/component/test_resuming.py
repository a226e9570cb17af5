"""Answers that break off, and are taken up where their readers lost them: as if nothing had happened."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from autoglmd.config.rooms import SessionsConfig
from autoglmd.messages.generation import Finished, SamplingParams, StreamEvent
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.answer import Answer
from autoglmd.sessions.journal import Addition, Journal
from tests.support.seals import PLAIN
from tests.support.session_box import GREEDY, SEEDED, Box, ids_of, started, text_of

FIRST, SECOND, THIRD = "你好", "turn on the light", "and again, 好吗?"
TOKENS = 16
QUIET = "quiet"
Open = Callable[..., Box]

every_model = pytest.mark.parametrize("name", ["tiny-fp32", "tiny-int8"])
every_sampling = pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])


@pytest_asyncio.fixture(name="open_box")
async def make_boxes(tmp_path: Path) -> AsyncIterator[Open]:
    """Boxes over one folder, one after the other."""
    boxes: list[Box] = []

    def make(name: str = "tiny-int8", sessions: SessionsConfig | None = None, **engine: int) -> Box:
        boxes.append(Box(tmp_path / "box", name, sessions or SessionsConfig(journal_seconds=0.01), **engine))
        return boxes[-1]

    yield make
    for box in boxes:
        await box.stop()


class Expected:
    """The second and third answers of a session that nothing comes between."""

    def __init__(self, second: list[StreamEvent], third: list[StreamEvent]) -> None:
        self.second = second
        self.third = third
        self.breaks = [0]
        for event in second:
            if ids_of([event]):
                self.breaks.append(self.breaks[-1] + len(ids_of([event])))


async def uninterrupted(box: Box, **changes: object) -> Expected:
    """Both answers, after a first."""
    await box.ask(FIRST, QUIET, **changes)
    second = await box.ask(SECOND, QUIET, **changes)
    return Expected(second, await box.ask(THIRD, QUIET, **changes))


def end_of(events: list[StreamEvent]) -> Finished:
    """The last event."""
    assert isinstance(events[-1], Finished)
    return events[-1]


async def goes_on(box: Box, session: str, after: int, expected: Expected, **changes: object) -> None:
    """The rest, and the next turn, are those of the session that nothing came between."""
    rest = await box.resume(session, after)
    whole = expected.second
    assert ids_of(rest) == ids_of(whole)[after:]
    assert text_of(rest) == "".join(text_of([event]) for event in whole if place_of(event, whole) >= after)
    assert (end_of(rest).reason, end_of(rest).stop) == (end_of(whole).reason, end_of(whole).stop)
    assert end_of(rest).usage.output_tokens == end_of(whole).usage.output_tokens
    assert started(rest).prompt_tokens == started(whole).prompt_tokens
    third = await box.ask(THIRD, session, **changes)
    assert (ids_of(third), text_of(third)) == (ids_of(expected.third), text_of(expected.third))
    assert started(third).prompt_tokens == started(expected.third).prompt_tokens
    assert started(third).cache.cached_tokens == started(expected.third).cache.cached_tokens


def place_of(event: StreamEvent, events: list[StreamEvent]) -> int:
    """How many tokens came before a piece of text."""
    return len(ids_of(events[: next(place for place, each in enumerate(events) if each is event)]))


@every_sampling
@every_model
async def test_a_reader_that_vanished_gets_the_rest_wherever_it_left(
    open_box: Open, name: str, sampling: SamplingParams
) -> None:
    """In the same daemon, with others beside it, at every token."""
    box = open_box(name)
    changes = {"sampling": sampling, "max_tokens": TOKENS}
    expected = await uninterrupted(box, **changes)

    async def one(after: int) -> None:
        session = f"s{after}"
        await box.ask(FIRST, session, **changes)
        had = await box.broken(SECOND, session, after, **changes)
        assert ids_of(had) == ids_of(expected.second)[:after]
        await goes_on(box, session, after, expected, **changes)

    await asyncio.gather(*(one(after) for after in expected.breaks))


@every_sampling
@every_model
async def test_after_a_stop_the_next_daemon_gives_the_rest(open_box: Open, name: str, sampling: SamplingParams) -> None:
    """The broken turn was kept, with the keys and values that it had."""
    box = open_box(name)
    changes = {"sampling": sampling, "max_tokens": TOKENS}
    expected = await uninterrupted(box, **changes)
    for after in expected.breaks:
        await box.ask(FIRST, f"s{after}", **changes)
        await box.broken(SECOND, f"s{after}", after, **changes)
    await box.stop()
    box = open_box(name)
    for after in expected.breaks:
        computed = box.served.stats.prompt_tokens
        await goes_on(box, f"s{after}", after, expected, **changes)
        # The second turn's prompt was there; but where the reader left before the first token, nothing was kept.
        assert after == 0 or box.served.stats.prompt_tokens - computed < started(expected.third).prompt_tokens / 2


async def killed_at(box: Box, folder: Path, expected: Expected, **changes: object) -> dict[int, str]:
    """Sessions of a daemon that was killed in its second answer after each number of tokens; it is stopped here."""
    for after in expected.breaks:
        await box.ask(FIRST, f"s{after}", **changes)
    await box.ask(FIRST, "model", **changes)
    await box.ask(SECOND, "model", request_id="lost", **changes)
    answer = box.book.answers.find(SessionKey("local", "model"))
    assert answer is not None
    assert answer.drawn == ids_of(expected.second)
    await box.stop()
    journal = Journal(folder / "sessions" / "journal.sqlite", PLAIN)
    for after in expected.breaks:
        journal.add([lost(answer, f"s{after}", after, box)])
    journal.close()
    return {after: f"s{after}" for after in expected.breaks}


def lost(answer: Answer, session: str, tokens: int, box: Box) -> Addition:
    """What the journal has of an answer that was killed."""
    key = SessionKey("local", session)
    begun = replace(answer, key=key, drawn=(), end=None)
    return Addition(box.book.answers._places.file_of(key), begun, 0, answer.drawn[:tokens])


@every_sampling
@every_model
async def test_after_a_kill_the_next_daemon_gives_the_rest(
    open_box: Open, tmp_path: Path, name: str, sampling: SamplingParams
) -> None:
    """Nothing of the broken turn was kept but its journal; its reader may have come further than that."""
    box = open_box(name)
    changes = {"sampling": sampling, "max_tokens": TOKENS}
    expected = await uninterrupted(box, **changes)
    sessions = await killed_at(box, tmp_path / "box", expected, **changes)
    box = open_box(name)
    breaks = expected.breaks
    await asyncio.gather(
        *(
            goes_on(box, session, breaks[(place * 7) % len(breaks)], expected, **changes)
            for place, session in enumerate(sessions.values())
        )
    )
