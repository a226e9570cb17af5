"""One request's stream: Started first, exactly one Finished last, whatever the engine says."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from autoglmd.engine.sequence import Admitted, Emitted, Ended, EngineEvent, Prefilled, SequenceRequest
from autoglmd.errors.availability import DrainingError, EngineFailedError
from autoglmd.errors.request import PromptTooLongError
from autoglmd.messages.generation import (
    Finished,
    FinishReason,
    GenerationRequest,
    PrefillProgress,
    SamplingParams,
    Started,
    StreamEvent,
    TextPrompt,
    Timings,
    TokenText,
    Usage,
)
from autoglmd.messages.sessions import CacheReport
from autoglmd.model.sampler import Sampling
from autoglmd.pipeline.detokenizer import Detokenizer
from autoglmd.pipeline.preparation import Prepared
from autoglmd.pipeline.stream import AnswerStream, Item
from tests.support.fake_clock import FakeClock
from tests.support.fixture_models import tokenizer_of

TOKENIZER = tokenizer_of("tiny-per-token")
SEQUENCE = SequenceRequest("r#0", np.array([4, 5, 6], np.int64), 9, frozenset({2}), Sampling(seed=77))
PREPARED = Prepared(SEQUENCE, tuple(SEQUENCE.prompt_ids.tolist()))
ARRIVED = 100.0


def ids_of(text: str) -> list[int]:
    """Its tokens."""
    return TOKENIZER.encode(text, add_prefix=False)


def request(stop: tuple[str, ...] = ()) -> GenerationRequest:
    """A request that arrived at ARRIVED."""
    return GenerationRequest("r", "", TextPrompt("x"), SamplingParams(), None, stop, False, None, ARRIVED, "t1")


def emitted(text: str, at: float = 101.5) -> list[EngineEvent]:
    """The tokens of a text, as the engine tells them."""
    return [Emitted("r#0", token, None, at) for token in ids_of(text)]


def ended(reason: FinishReason, error: Exception | None = None) -> Ended:
    """The engine's last word."""
    return Ended("r#0", reason, 103.0, error)


async def heard(items: Sequence[Item], stop: tuple[str, ...] = ()) -> tuple[list[StreamEvent], AnswerStream]:
    """Put everything in, read the stream to its end."""
    stream = AnswerStream(request(stop), "tiny", "v1", TOKENIZER, FakeClock())
    for item in items:
        stream.put(item)
    async with asyncio.timeout(5):
        return [event async for event in stream.events()], stream


def last(events: list[StreamEvent]) -> Finished:
    """The one Finished, which is the last event."""
    finished = [event for event in events if isinstance(event, Finished)]
    assert finished == [events[-1]]
    return finished[0]


async def test_a_stream_tells_what_it_is_then_its_text_then_its_end() -> None:
    """Started carries what the client cannot know, Finished what it all came to."""
    events, stream = await heard(
        [PREPARED, Admitted("r#0", 101.0), *emitted("hello"), ended(FinishReason.LENGTH)],
    )
    assert events[0] == Started("r", "tiny", "v1", 3, CacheReport(), 77, "t1")
    assert "".join(event.text for event in events if isinstance(event, TokenText)) == "hello"
    assert last(events) == Finished(
        FinishReason.LENGTH, Usage(3, 0, len(ids_of("hello"))), Timings(1.0, 0.5, 1.5, 3.0), "", None
    )
    assert stream.engine_ended


@pytest.mark.parametrize("reason", list(FinishReason))
@pytest.mark.parametrize("progress", range(4))
async def test_every_reason_at_every_moment_gives_one_finished(reason: FinishReason, progress: int) -> None:
    """Before a row, during prefill, during the answer: one Started, one Finished with the engine's reason."""
    so_far: list[EngineEvent] = [Admitted("r#0", 101.0), Prefilled("r#0", 5, 9), *emitted("a")][:progress]
    events, _ = await heard([PREPARED, *so_far, ended(reason, EngineFailedError("x"))])
    assert isinstance(events[0], Started)
    assert last(events).reason is reason


@pytest.mark.parametrize("items", [[], [Admitted("r#0", 101.0)]])
async def test_timings_of_what_never_happened_are_nothing(items: list[EngineEvent]) -> None:
    """A request that never had a row spent all its time in the queue; one without a token all the rest in prefill."""
    events, _ = await heard([PREPARED, *items, ended(FinishReason.CANCELLED)])
    expected = Timings(1.0, 2.0, 0.0, 3.0) if items else Timings(3.0, 0.0, 0.0, 3.0)
    assert last(events).timings == expected


async def test_times_count_from_zero_too() -> None:
    """A first token at the clock's zero is a first token."""
    early = [Admitted("r#0", -1.0), *emitted("a", at=0.0), *emitted("b", at=5.0)]
    events, _ = await heard([PREPARED, *early, ended(FinishReason.LENGTH)])
    assert last(events).timings.prefill == 1.0


async def test_a_refusal_is_raised_before_the_first_event() -> None:
    """A prompt that does not fit is the call's error, not an event."""
    stream = AnswerStream(request(), "tiny", "v1", TOKENIZER, FakeClock())
    stream.put(PromptTooLongError(9, 1, 8, "the context"))
    with pytest.raises(PromptTooLongError):
        await anext(stream.events())
    assert stream.engine_ended


async def test_a_refused_stream_has_no_end_to_tell() -> None:
    """It never began."""
    stream = AnswerStream(request(), "tiny", "v1", TOKENIZER, FakeClock())
    stream.put(PromptTooLongError(9, 1, 8, "the context"))
    with pytest.raises(PromptTooLongError):
        await anext(stream.events())
    assert stream.close() is None


async def test_a_stream_that_was_heard_to_its_end_closes_with_that_end() -> None:
    """Closing changes nothing about it."""
    events, stream = await heard([PREPARED, *emitted("a"), ended(FinishReason.LENGTH)])
    assert stream.close() == last(events)


@pytest.mark.parametrize(
    ("deadline", "left_at", "reason"),
    [
        (105.0, 101.0, FinishReason.CANCELLED),
        (105.0, 104.9, FinishReason.CANCELLED),
        (105.0, 104.95, FinishReason.DEADLINE),
        (105.0, 105.5, FinishReason.DEADLINE),
        (700.0, 699.8, FinishReason.CANCELLED),
        (700.0, 699.95, FinishReason.DEADLINE),
    ],
)
async def test_a_stream_that_nobody_hears_any_more_ends_with_what_came(
    deadline: float, left_at: float, reason: FinishReason
) -> None:
    """It was cancelled; or its deadline, which a client keeps up to a tenth of a second too early, has passed."""
    clock = FakeClock()
    stream = AnswerStream(replace(request(), deadline=deadline), "tiny", "v1", TOKENIZER, clock)
    for item in (PREPARED, Admitted("r#0", 100.25), *emitted("ab", at=100.5)):
        stream.put(item)
    events = stream.events()
    assert isinstance(await anext(events), Started)
    assert isinstance(await anext(events), TokenText)
    await events.aclose()
    clock.now = left_at
    finished = stream.close()
    assert finished is not None
    assert (finished.reason, finished.usage) == (reason, Usage(3, 0, 1))
    assert finished.timings.total == left_at - ARRIVED


def broken(_detokenizer: Detokenizer, token_id: int) -> str:
    """A defect in our own code."""
    raise LookupError(token_id)


@pytest.mark.parametrize("deadline", [None, ARRIVED])
async def test_a_defect_of_ours_is_no_cancel(deadline: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What breaks the stream from within is its error, also where the deadline has passed by then."""
    clock = FakeClock()
    clock.now = 101.0
    stream = AnswerStream(replace(request(), deadline=deadline), "tiny", "v1", TOKENIZER, clock)
    for item in (PREPARED, Admitted("r#0", 100.25), *emitted("a", at=100.5)):
        stream.put(item)
    events = stream.events()
    assert isinstance(await anext(events), Started)
    monkeypatch.setattr(Detokenizer, "push", broken)
    with pytest.raises(LookupError) as caught:
        await anext(events)
    finished = stream.close()
    assert finished is not None
    assert (finished.reason, finished.error, stream.row_seconds) == (FinishReason.ERROR, caught.value, None)


async def test_a_reader_that_is_cancelled_leaves_no_error() -> None:
    """It waits for the next event, and the task that reads is ended."""
    stream = AnswerStream(request(), "tiny", "v1", TOKENIZER, FakeClock())
    stream.put(PREPARED)
    events = stream.events()
    assert isinstance(await anext(events), Started)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    finished = stream.close()
    assert finished is not None
    assert (finished.reason, finished.error) == (FinishReason.CANCELLED, None)


async def test_progress_is_told_between_the_chunks_but_not_at_the_end() -> None:
    """The last chunk needs no progress: a token follows at once."""
    events, _ = await heard([PREPARED, Prefilled("r#0", 4, 9), Prefilled("r#0", 9, 9), ended(FinishReason.LENGTH)])
    assert [event for event in events if isinstance(event, PrefillProgress)] == [PrefillProgress(4, 9)]


async def test_a_stop_string_finishes_before_the_engine_knows() -> None:
    """What the engine still says is not heard, and the stream says that the engine goes on."""
    events, stream = await heard([PREPARED, *emitted("ab.cd"), ended(FinishReason.LENGTH)], stop=(".",))
    assert "".join(event.text for event in events if isinstance(event, TokenText)) == "ab"
    assert (last(events).reason, last(events).stop) == (FinishReason.STOP, ".")
    assert not stream.engine_ended


async def test_held_text_is_told_when_the_answer_ends() -> None:
    """The beginning of a stop string that did not come, and a character that is not whole, are part of the answer."""
    half = Emitted("r#0", ids_of("😀")[0], None, 102.0)
    events, _ = await heard([PREPARED, *emitted("ab"), half, ended(FinishReason.CANCELLED)], stop=("b\ufffd!",))
    assert "".join(event.text for event in events if isinstance(event, TokenText)) == "ab\ufffd"
    assert last(events).reason is FinishReason.CANCELLED


async def test_a_stop_string_that_is_complete_in_the_flush_is_a_stop_without_error() -> None:
    """The answer is whole, and has not come to its length."""
    half = Emitted("r#0", ids_of("😀")[0], None, 102.0)
    items = [PREPARED, *emitted("ab"), half, ended(FinishReason.LENGTH)]
    events, _ = await heard(items, stop=("b\ufffd",))
    assert (last(events).reason, last(events).stop, last(events).error) == (FinishReason.STOP, "b\ufffd", None)


async def test_shutdown_carries_the_error_of_a_daemon_that_stops() -> None:
    """The client learns that it may come back."""
    events, _ = await heard([PREPARED, ended(FinishReason.SHUTDOWN)])
    assert isinstance(last(events).error, DrainingError)


async def test_an_error_travels_with_its_reason() -> None:
    """What the engine gives as the cause is what the client gets."""
    error = EngineFailedError("the model failed")
    events, _ = await heard([PREPARED, *emitted("a"), ended(FinishReason.ERROR, error)])
    assert last(events).error is error


@pytest.mark.parametrize(("reason", "expected"), [(FinishReason.LENGTH, 2.0), (FinishReason.CANCELLED, None)])
async def test_a_whole_answer_says_how_long_it_took_its_row(reason: FinishReason, expected: float | None) -> None:
    """Without the time in line; an answer that was broken off tells nothing about the next one's."""
    _, stream = await heard([PREPARED, Admitted("r#0", 101.0), *emitted("a"), ended(reason)])
    assert stream.row_seconds == expected


async def test_an_answer_that_ends_in_line_has_the_clients_seed() -> None:
    """The client chose it, so it is known without looking at the prompt."""
    asked = replace(request(), sampling=SamplingParams(seed=5))
    stream = AnswerStream(asked, "tiny", "v1", TOKENIZER, FakeClock())
    stream.end_in_line(FinishReason.CANCELLED)
    started = await anext(stream.events())
    assert isinstance(started, Started)
    assert started.seed == 5
