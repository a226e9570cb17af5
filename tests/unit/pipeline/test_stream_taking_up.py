"""A stream of an answer that was taken up, and one that may be."""

from dataclasses import replace

import pytest

from autoglmd.engine.sequence import Admitted, Emitted
from autoglmd.errors.availability import EngineFailedError
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.messages.generation import Finished, FinishReason, StreamEvent, TokenText
from autoglmd.pipeline.preparation import TakenUp
from autoglmd.pipeline.taking_up import Rest
from tests.unit.pipeline.test_stream import PREPARED, emitted, ended, heard, ids_of, last, request


def text_of(events: list[StreamEvent]) -> str:
    """All pieces."""
    return "".join(event.text for event in events if isinstance(event, TokenText))


@pytest.mark.parametrize("reason", [FinishReason.SHUTDOWN, FinishReason.ERROR, FinishReason.DEADLINE])
async def test_what_is_held_back_is_not_told_where_an_answer_breaks_off(reason: FinishReason) -> None:
    """When it is taken up, it may become something else."""
    half = Emitted("r#0", ids_of("😀")[0], None, 102.0)
    events, _ = await heard([PREPARED, *emitted("ab"), half, ended(reason, EngineFailedError("x"))], stop=("b\ufffd!",))
    assert text_of(events) == "a"
    assert last(events).reason is reason


async def test_an_answer_that_is_taken_up_bears_its_requests_name_and_stop_strings() -> None:
    """The call knew neither."""
    own = replace(request(("lo",)), request_id="first")
    events, _ = await heard([replace(PREPARED, taken_up=TakenUp(own, 0)), *emitted("hello you")])
    assert getattr(events[0], "request_id", "") == "first"
    assert (text_of(events), last(events).stop) == ("hel", "lo")


async def test_an_answer_that_was_cancelled_ends_so_where_the_engine_reaches_its_length() -> None:
    """It was asked for no more; another end is its own."""
    cancelled = replace(PREPARED, taken_up=TakenUp(request(), 0, FinishReason.CANCELLED))
    events, _ = await heard([cancelled, *emitted("a"), ended(FinishReason.LENGTH)])
    assert last(events).reason is FinishReason.CANCELLED
    events, _ = await heard([cancelled, *emitted("a"), ended(FinishReason.SHUTDOWN)])
    assert last(events).reason is FinishReason.SHUTDOWN


async def test_the_rest_of_an_answer_does_not_say_how_long_a_whole_one_takes() -> None:
    """Who is told when to come again would come too early."""
    for prepared, is_measured in ((PREPARED, True), (replace(PREPARED, taken_up=TakenUp(request(), 0)), False)):
        admitted = Admitted("r#0", 101.0)
        _, stream = await heard([prepared, admitted, *emitted("a"), ended(FinishReason.LENGTH)])
        assert (stream.row_seconds is not None) is is_measured


async def test_who_has_more_than_the_answer_is_told_so_at_its_end() -> None:
    """And not where it only breaks off."""
    far = replace(PREPARED, taken_up=TakenUp(request(), 99))
    events, _ = await heard([far, *emitted("a"), ended(FinishReason.LENGTH)])
    assert last(events).reason is FinishReason.ERROR
    assert isinstance(last(events).error, InvalidArgumentError)
    events, _ = await heard([far, *emitted("a"), ended(FinishReason.CANCELLED)])
    assert last(events).reason is FinishReason.CANCELLED


def test_the_rest_is_what_the_reader_does_not_have() -> None:
    """Counted in ids; a piece that lies across the place is told whole, and all that is no text is told."""
    finished: StreamEvent = Finished(FinishReason.STOP, None, None)  # type: ignore[arg-type]
    pieces = [TokenText("a", (1,)), TokenText("bc", (2, 3)), TokenText("", (4,)), finished]
    rests = [[event for event in pieces if rest.has(event)] for rest in map(Rest, range(6))]
    assert rests == [pieces, pieces[1:], pieces[1:], pieces[2:], pieces[3:], pieces[3:]]
