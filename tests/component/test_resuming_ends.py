"""Answers that are taken up: where they end, what is refused, and what is nobody's business."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from autoglmd.errors.availability import DrainingError
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.errors.session import AnswerGoneError, AnswerNotFoundError
from autoglmd.host.clock import SystemClock
from autoglmd.messages.generation import (
    Finished,
    FinishReason,
    Message,
    ResumptionRequest,
    SamplingParams,
)
from autoglmd.messages.sessions import SessionKey
from tests.support.session_box import ids_of, started, text_of
from tests.support.session_boxes import KEY, Open, end_of, make_boxes, said

__all__ = ["make_boxes"]


async def test_an_answer_that_ended_is_told_to_who_missed_its_end(open_box: Open) -> None:
    """Again and again, in this daemon and in the next; the conversation stays as it is."""
    box = open_box()
    whole = await box.ask("hello", "s")
    before = said(box)
    for after in (0, 5, 12, 12):
        rest = await box.resume("s", after)
        assert ids_of(rest) == ids_of(whole)[after:]
        assert (end_of(rest).reason, end_of(rest).usage) == (
            FinishReason.LENGTH,
            replace(end_of(whole).usage, cached_tokens=end_of(rest).usage.cached_tokens),
        )
    assert said(box) == before
    await box.stop()
    box = open_box()
    assert text_of(await box.resume("s")) == text_of(whole)
    assert box.served.stats.prompt_tokens == 0
    assert said(box) == before


async def test_an_answer_that_was_cancelled_stays_so(open_box: Open) -> None:
    """Its owner ended it; what had come of it is told, and no more."""
    box = open_box()
    stream = box.gateway.generate(box.request("hello", "s", max_tokens=400, request_id="r"))
    events = [await anext(stream), await anext(stream)]
    assert box.gateway.cancel("r", "local")
    events += [event async for event in stream]
    assert end_of(events).reason is FinishReason.CANCELLED
    before = said(box)
    rest = await box.resume("s", 1)
    assert (ids_of(rest), end_of(rest).reason) == (ids_of(events)[1:], FinishReason.CANCELLED)
    assert said(box) == before


async def test_a_daemon_that_stops_leaves_its_answers_to_the_next(open_box: Open) -> None:
    """Their streams end with SHUTDOWN, and go on where they ended."""
    box = open_box("tiny-fp32")
    expected = await box.ask("hello", "quiet", max_tokens=200)
    stream = box.gateway.generate(box.request("hello", "s", max_tokens=200, request_id="r"))
    had = [await anext(stream) for _ in range(20)]
    assert await box.gateway.drain(0) == 1
    had += [event async for event in stream]
    assert end_of(had).reason is FinishReason.SHUTDOWN
    with pytest.raises(DrainingError):
        await box.resume("s")
    await box.stop()
    box = open_box("tiny-fp32")
    rest = await box.resume("s", len(ids_of(had)), "r")
    assert ids_of(had) + ids_of(rest) == ids_of(expected)
    assert text_of(had) + text_of(rest) == text_of(expected)
    assert started(rest).request_id == "r"


async def test_who_takes_an_answer_up_ends_the_call_that_it_was_lost_on(open_box: Open) -> None:
    """Its connection may be half open for long; the answer is not cancelled by that."""
    box = open_box("tiny-int8", busy="refuse")
    expected = await box.ask("hello", "quiet", max_tokens=300)
    lost = box.gateway.generate(box.request("hello", "s", max_tokens=300, request_id="r"))
    await anext(lost)
    rest = await box.resume("s", 0, "r")
    assert ids_of(rest) == ids_of(expected)
    assert end_of([event async for event in lost]).reason is FinishReason.CANCELLED
    assert text_of(rest) == said(box)[-1].content
    again = box.book.answers.find(KEY)
    assert again is not None
    assert again.end is FinishReason.LENGTH


async def test_an_answer_that_breaks_off_again_is_taken_up_again(open_box: Open) -> None:
    """However often; a reader that leaves before it got anything new takes nothing away."""
    box = open_box("tiny-fp32")
    expected = await box.ask("hello", "quiet", max_tokens=60)
    had = ids_of(await box.broken("hello", "s", 10, max_tokens=60, request_id="r"))
    told: tuple[Message, ...] = (Message("", ""),)
    for round_ in range(100):
        asked = ResumptionRequest(KEY, len(had), "r", None, SystemClock().monotonic(), "t")
        async with contextlib.aclosing(box.gateway.resume(asked)) as stream:
            events = [await anext(stream)]
            if round_ % 2:
                events.append(await anext(stream))
        had += ids_of(events)
        # Whoever has the session next finds it as it was left, or further on.
        async with box.book.leases.held(KEY):
            assert said(box)[-1].content.startswith(told[-1].content)
        told = said(box)
    assert had == ids_of(expected)


async def test_who_leaves_while_the_answer_is_computed_again_takes_nothing_away(open_box: Open) -> None:
    """What had been told before stays said."""
    box = open_box("tiny-fp32")
    asked = SamplingParams(temperature=0.0, logprobs=0)
    had = await box.broken("hello", "s", 100, max_tokens=200, sampling=asked)
    async with box.book.leases.held(KEY):
        told = said(box)
    assert told[-1].content.startswith(text_of(had))
    engine = box.served.engine
    drawn = engine.stats.output_tokens
    again = asyncio.create_task(box.resume("s", 100))
    async with asyncio.timeout(60):
        while engine.stats.output_tokens < drawn + 10:  # noqa: ASYNC110 - it is another thread's
            await asyncio.sleep(0)
    again.cancel()
    with pytest.raises(asyncio.CancelledError):
        await again
    async with box.book.leases.held(KEY):
        assert said(box)[-1].content.startswith(text_of(had))


async def test_an_answer_is_taken_up_under_its_own_name_and_can_be_cancelled(open_box: Open) -> None:
    """Cancel takes the request's id."""
    box = open_box()
    await box.broken("hello", "s", 3, max_tokens=400, request_id="r")
    asked = ResumptionRequest(KEY, 3, "", None, SystemClock().monotonic(), "t")
    stream = box.gateway.resume(asked)
    first = await anext(stream)
    assert started([first]).request_id == "r"
    assert box.gateway.cancel("r", "local")
    events = [event async for event in stream]
    assert end_of(events).reason is FinishReason.CANCELLED


@pytest.mark.parametrize("session", ["nobody's", "s"])
async def test_who_has_no_such_answer_is_told_so(open_box: Open, session: str) -> None:
    """No session, or another's; another request's answer; one that a later one followed."""
    box = open_box()
    await box.ask("hello", "s", request_id="r1")
    await box.ask("more", "s", request_id="r2")
    with pytest.raises(AnswerNotFoundError, match="no answer to request 'r1'"):
        await box.resume(session, 0, "r1")
    stranger = ResumptionRequest(SessionKey("eve", "s"), 0, "", None, 0.0, "t")
    with pytest.raises(AnswerNotFoundError, match="has no answer that"):
        await anext(box.gateway.resume(stranger))
    assert box.gateway.admission.count == 0


async def test_a_deleted_sessions_answer_is_gone(open_box: Open) -> None:
    """With all that was said."""
    box = open_box()
    await box.ask("hello", "s")
    assert await asyncio.to_thread(box.book.delete, KEY)
    with pytest.raises(AnswerNotFoundError):
        await box.resume("s")


async def test_another_model_does_not_go_on_with_an_answer(open_box: Open) -> None:
    """It would be another text."""
    box = open_box("tiny-int8")
    await box.broken("hello", "s", 3)
    await box.stop()
    box = open_box("tiny-fp32")
    with pytest.raises(AnswerGoneError, match="another version of it"):
        await box.resume("s", 3)


async def test_an_answer_whose_conversation_is_gone_is_gone(open_box: Open, tmp_path: Path) -> None:
    """The disk lost the file, and not the journal."""
    box = open_box()
    await box.ask("hello", "s")
    await box.broken("more", "s", 3)
    await box.stop()
    for path in (tmp_path / "box" / "sessions").glob("*/*.session"):
        path.unlink()
    box = open_box()
    with pytest.raises(AnswerGoneError, match="turn 2 of a conversation that has 0 turns"):
        await box.resume("s", 3)
    assert isinstance((await box.ask("hello", "s"))[-1], Finished)


async def test_more_tokens_than_the_answer_has_are_refused(open_box: Open) -> None:
    """At once where that is known, else at its end."""
    box = open_box()
    whole = await box.ask("hello", "s")
    with pytest.raises(InvalidArgumentError, match="after_token: is 13; the answer has 12 tokens at most"):
        await box.resume("s", 13)
    stop = text_of(whole)[:3]
    had = await box.broken("hello", "t", 0, max_tokens=400, stop=(stop,))
    before = box.book.find(SessionKey("local", "t"))
    end = end_of(await box.resume("t", 300))
    assert end.reason is FinishReason.ERROR
    assert isinstance(end.error, InvalidArgumentError)
    assert "is 300; the answer has" in end.error.message
    assert ids_of(had) == ()
    assert box.book.find(SessionKey("local", "t")) == before


async def test_a_journal_that_refuses_keeps_no_answer_from_being_given(open_box: Open, tmp_path: Path) -> None:
    """And those of this daemon can be taken up all the same."""
    (tmp_path / "box" / "sessions" / "journal.sqlite").mkdir(parents=True)
    box = open_box()
    expected = await box.ask("hello", "quiet")
    had = await box.broken("hello", "s", 5)
    rest = await box.resume("s", 5)
    assert ids_of(had) + ids_of(rest) == ids_of(expected)
    box.stopped = True
    assert await asyncio.to_thread(box.served.stop, 60)
    assert not await asyncio.to_thread(box.book.stop, 60)


async def test_an_answer_that_is_to_be_forgotten_is_not_taken_up(open_box: Open) -> None:
    """As when the session is taken back behind it; what was said otherwise stays."""
    box = open_box()
    await box.ask("hello", "s")
    await asyncio.to_thread(box.book.forget_answer, KEY)
    with pytest.raises(AnswerNotFoundError):
        await box.resume("s")
    assert len(said(box)) == 2
