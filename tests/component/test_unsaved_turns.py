"""Turns that were told to their end, by a daemon that was killed before their disk had them."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from autoglmd.config.rooms import SessionsConfig
from autoglmd.errors.session import SessionNotFoundError
from autoglmd.messages.generation import Finished, FinishReason
from autoglmd.messages.sessions import CacheMiss, Place
from tests.support.cut_sessions import desk_of, key_of, pieces_of
from tests.support.daemon_process import eventually
from tests.support.session_box import Box, ids_of, started, text_of

FIRST, SECOND, THIRD = "你好", "turn on the light", "and again, 好吗?"


@pytest_asyncio.fixture(name="box")
async def make_box(tmp_path: Path) -> AsyncIterator[Box]:
    """A daemon."""
    box = Box(tmp_path / "box", "tiny-int8")
    yield box
    await box.stop()


class Successor:
    """The daemon after a kill: over what was on disk then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._boxes: list[Box] = []

    async def of(self, box: Box, **sessions: object) -> Box:
        """As if that one were killed now, with all that its journal was told."""

        async def journalled() -> bool:
            return box.book.answers.unwritten == 0

        await eventually(journalled)
        there = self._folder / str(len(self._boxes))
        shutil.copytree(self._folder / "box", there)
        self._boxes.append(Box(there, "tiny-int8", SessionsConfig(**sessions)))  # type: ignore[arg-type]
        return self._boxes[-1]

    async def stop(self) -> None:
        """End them all."""
        for box in self._boxes:
            await box.stop()


@pytest_asyncio.fixture(name="successor")
async def make_successor(tmp_path: Path) -> AsyncIterator[Successor]:
    """Its daemons are stopped afterwards."""
    successor = Successor(tmp_path)
    yield successor
    await successor.stop()


@pytest.fixture(name="refuse")
def make_refusal(box: Box, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called the daemon's disk takes no session; until the test's end."""

    def save(_: object) -> None:
        raise OSError(28, "No space left on device")

    return lambda: monkeypatch.setattr(box.book._store, "save", save)


@pytest.mark.parametrize("saved_turns", [0, 1])
async def test_the_next_answer_goes_on_from_a_turn_that_only_the_journal_has(
    box: Box, successor: Successor, refuse: Callable[[], None], saved_turns: int
) -> None:
    """Be it the first or a later one; it is then on disk as any other."""
    for session in ("quiet", "s")[: 1 + saved_turns]:
        await box.ask(FIRST, session)
    await box.saved()
    second = await box.ask(SECOND, "quiet")
    third = await box.ask(THIRD, "quiet")
    refuse()
    if not saved_turns:
        await box.ask(FIRST, "s")
    else:
        assert text_of(await box.ask(SECOND, "s")) == text_of(second)
    told = box.book.find(key_of("s"))
    assert told is not None
    later = await successor.of(box)
    answer = await later.ask(THIRD if saved_turns else SECOND, "s")
    assert text_of(answer) == text_of(third if saved_turns else second)
    assert started(answer).cache.miss is CacheMiss.NOT_KEPT
    assert started(answer).prompt_tokens == started(third if saved_turns else second).prompt_tokens
    again = later.book.find(key_of("s"))
    assert again is not None
    assert (again.ids[: len(told.ids)], again.messages[: len(told.messages)]) == (told.ids, told.messages)
    assert again.marks[:-1] == told.marks
    assert again.turns == saved_turns + 2
    await later.saved()


async def test_shown_forked_rewound_and_exported_is_the_turn_that_only_the_journal_has(
    box: Box, successor: Successor, refuse: Callable[[], None]
) -> None:
    """Before anybody has asked in the session; what it was made of is its own."""
    for session in ("s", "t", "u"):
        await box.ask(FIRST, session)
    await box.saved()
    refuse()
    for session in ("s", "t", "u", "new"):
        await box.ask(SECOND, session)
    told = {session: box.book.find(key_of(session)) for session in ("s", "t", "u", "new")}
    later = await successor.of(box)
    desk = desk_of(later)
    for session, known in told.items():
        assert known is not None
        info, messages, marks = await desk.one(key_of(session))
        assert (info.turns, info.tokens, messages, marks) == (
            known.turns,
            len(known.ids),
            known.messages,
            known.marks,
        )
    assert (await desk.fork(key_of("s"), "fork", None)).turns == 2
    assert (await desk.fork(key_of("new"), "fork of new", Place(turn=1))).turns == 1
    assert (await desk.rewind(key_of("t"), None)).turns == 1
    file = b"".join([piece async for piece in desk.exported(key_of("u"))])
    assert (await desk.imported(key_of("v"), pieces_of(file))).turns == 2
    await desk.delete(key_of("new"))
    with pytest.raises(SessionNotFoundError):
        await desk.one(key_of("new"))
    shown = (await desk.one(key_of("fork")))[1]
    assert told["s"] is not None
    assert shown == told["s"].messages
    assert (await desk.one(key_of("t")))[0].turns == 1


async def test_what_came_of_a_broken_answer_is_replaced_by_the_whole(
    box: Box, successor: Successor, refuse: Callable[[], None]
) -> None:
    """Its beginning was saved when its reader left; its end was told to who took it up."""
    await box.ask(FIRST, "s")
    had = await box.broken(SECOND, "s", 4)
    await box.saved()
    refuse()
    rest = await box.resume("s", 4)
    told = box.book.find(key_of("s"))
    assert told is not None
    later = await successor.of(box)
    _, messages, marks = await desk_of(later).one(key_of("s"))
    assert messages[-1].content == text_of(had) + text_of(rest)
    assert (messages, marks) == (told.messages, told.marks)
    # And who missed its end is told it.
    again = await later.resume("s", 4)
    assert ids_of(again) == ids_of(rest)
    assert isinstance(again[-1], Finished)
    assert again[-1].reason is FinishReason.LENGTH


async def test_an_answer_in_another_ones_place_leaves_no_turn_behind(box: Box, successor: Successor) -> None:
    """What was saved is not told a second time, and what was begun and told to nobody is no turn."""
    await box.ask(FIRST, "s")
    await box.ask(SECOND, "s")
    await box.broken(THIRD, "s", 0)
    await box.saved()
    later = await successor.of(box)
    info, messages, _ = await desk_of(later).one(key_of("s"))
    assert (info.turns, info.disk_bytes > 0) == (2, True)
    assert [message.content for message in messages[::2]] == [FIRST, SECOND]
