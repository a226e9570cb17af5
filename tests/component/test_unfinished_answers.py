"""Answers that broke off are seen before they are taken up, and nothing takes their place unasked."""

from dataclasses import replace

import pytest

from autoglmd.errors.session import SessionExistsError, SessionNotFoundError
from autoglmd.sessions.journal import Addition
from tests.support.cut_sessions import desk_of, key_of
from tests.support.session_box import Box, text_of
from tests.support.session_boxes import KEY, Open, make_boxes

__all__ = ["make_boxes"]


async def killed(open_box: Open, *turns: str) -> tuple[Box, str]:
    """The daemon behind one that was killed in the answer to a session's last turn; and that answer, whole."""
    box = open_box()
    whole = [text_of(await box.ask(text, "s")) for text in turns][-1]
    answer = box.book.answers.find(KEY)
    assert answer is not None
    await box.stop()
    later = open_box()
    take_back = desk_of(later).rewind(KEY, None) if len(turns) > 1 else desk_of(later).delete(KEY)
    await take_back
    file = later.book._store.file_of(KEY)
    later.book._store.journal.add([Addition(file, replace(answer, drawn=(), end=None), 0, answer.drawn[:5])])
    return later, whole


async def test_a_broken_first_answer_is_shown_as_a_session_that_is_unfinished(open_box: Open) -> None:
    """It is all that there is of it; taken up, it is a session as any other."""
    box, whole = await killed(open_box, "hello")
    info, messages, _ = await desk_of(box).one(KEY)
    assert (info.unfinished, info.turns, messages) == (True, 0, ())
    assert text_of(await box.resume("s")) == whole
    info, messages, _ = await desk_of(box).one(KEY)
    assert (info.unfinished, info.turns, messages[-1].content) == (False, 1, whole)


async def test_a_broken_later_answer_is_told_with_what_was_said_before(open_box: Open) -> None:
    """The next question gives it up."""
    box, _ = await killed(open_box, "hello", "and again")
    info, messages, _ = await desk_of(box).one(KEY)
    assert (info.unfinished, info.turns, len(messages)) == (True, 1, 2)
    await box.ask("another", "s")
    assert not (await desk_of(box).one(KEY))[0].unfinished


async def test_nothing_is_forked_over_a_broken_first_answer_and_who_deletes_it_finds_it(open_box: Open) -> None:
    """It may be all that somebody has of it."""
    box, _ = await killed(open_box, "hello")
    await box.ask("hello", "whole")
    desk = desk_of(box)
    with pytest.raises(SessionExistsError):
        await desk.fork(key_of("whole"), "s", None)
    await desk.delete(KEY)
    with pytest.raises(SessionNotFoundError):
        await desk.one(KEY)
    await desk.fork(key_of("whole"), "s", None)
