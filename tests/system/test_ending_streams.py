"""Deadlines, disconnects and Cancel stop the computing itself within a step, which the counters show."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from openglm.v1 import admin_pb2, inference_pb2
from tests.support.daemon_process import LIMIT_SECONDS, Talk, eventually
from tests.system.conftest import Pace, end_of, read, request, serving_paced, wait_for_kind

STEP_SECONDS = 0.15
# The one that is held when the news come, and one that a deadline may find on its way.
STEPS_AFTER = 1
STEPS_AFTER_DEADLINE = 2
LONG = request(prompt_tokens=480, max_tokens=4)
ANSWER = request(max_tokens=500)


@pytest_asyncio.fixture
async def talk(configured: Path, pace: Pace) -> AsyncIterator[Talk]:
    """A daemon whose steps take their time."""
    with serving_paced(configured, pace) as daemon:
        pace.seconds(STEP_SECONDS)
        async with Talk(daemon.socket) as talk:
            yield talk


async def held(talk: Talk, pace: Pace) -> admin_pb2.EngineStatus:
    """The engine's counters while its next run is held, so that nothing happens between what a test does."""
    pace.hold()
    # The run that was on its way when the pace changed ends within its own time.
    steps, before = -1, await talk.engine()
    while before.steps != steps:
        steps = before.steps
        await asyncio.sleep(2 * STEP_SECONDS)
        before = await talk.engine()
    return before


@pytest.mark.parametrize(("asked", "kind"), [(LONG, "prefill"), (ANSWER, "token")])
async def test_a_client_that_leaves_stops_its_computing(
    talk: Talk, pace: Pace, asked: inference_pb2.GenerateRequest, kind: str
) -> None:
    """In the middle of its prompt, or of its answer: a step later the row is free and no token more is drawn."""
    call = talk.inference.Generate(asked)
    await wait_for_kind(call, kind)
    before = await held(talk, pace)
    assert before.rows_in_use == 1
    call.cancel()

    async def has_left() -> bool:
        return (await talk.status()).open_streams == 0

    await eventually(has_left)
    pace.seconds(STEP_SECONDS)
    after = await talk.wait_idle()
    assert after.steps <= before.steps + STEPS_AFTER
    assert after.requests_finished == 1


async def test_a_client_that_leaves_has_its_line_in_the_log(configured: Path, pace: Pace) -> None:
    """One, with the reason and the counts: of one that cancels, of one whose deadline passes, of one that stays."""
    with serving_paced(configured, pace) as daemon:
        async with Talk(daemon.socket) as talk:
            pace.seconds(STEP_SECONDS)
            gone = talk.inference.Generate(request(prompt_tokens=5, max_tokens=500))
            await wait_for_kind(gone, "token")
            gone.cancel()
            await talk.wait_idle()
            await read(talk.inference.Generate(request(max_tokens=500), timeout=4 * STEP_SECONDS))
            await talk.wait_idle()
            pace.seconds(0)
            await read(talk.inference.Generate(request(max_tokens=7)))
        daemon.wait_log(lambda entry: entry["msg"] == "finished" and entry["reason"] == "length")
        lines = [entry for entry in daemon.log if entry["msg"] == "finished"]
    assert [line["reason"] for line in lines] == ["cancelled", "deadline", "length"]
    assert [line["prompt_tokens"] for line in lines] == [5, 3, 3]
    assert [line["output_tokens"] >= 1 for line in lines] == [True] * 3
    assert all(line["request_id"] and line["trace_id"] for line in lines)


@pytest.mark.parametrize(("asked", "kind"), [(LONG, "prefill"), (ANSWER, "token")])
async def test_cancel_stops_the_computing_and_finishes_the_stream(
    talk: Talk, pace: Pace, asked: inference_pb2.GenerateRequest, kind: str
) -> None:
    """The stream ends with one Finished(CANCELLED) and OK, a step later."""
    named = inference_pb2.GenerateRequest()
    named.CopyFrom(asked)
    named.request_id = "mine"
    call = talk.inference.Generate(named)
    await wait_for_kind(call, kind)
    before = await held(talk, pace)
    assert (await talk.inference.Cancel(inference_pb2.CancelRequest(request_id="mine"))).cancelled
    pace.seconds(STEP_SECONDS)
    finished = (await wait_for_kind(call, "finished")).finished
    assert finished.reason == inference_pb2.FINISH_REASON_CANCELLED
    assert await call.code() == grpc.StatusCode.OK
    after = await talk.wait_idle()
    assert after.steps <= before.steps + STEPS_AFTER
    assert not (await talk.inference.Cancel(inference_pb2.CancelRequest(request_id="mine"))).cancelled


@pytest.mark.parametrize("asked", [LONG, ANSWER])
async def test_a_deadline_stops_the_computing(talk: Talk, asked: inference_pb2.GenerateRequest) -> None:
    """The client hears DEADLINE_EXCEEDED, and the engine has computed only what the time was enough for."""
    given_seconds = 10 * STEP_SECONDS
    _, error = await read(talk.inference.Generate(asked, timeout=given_seconds))
    assert error is not None
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    after = await talk.wait_idle()
    assert 1 <= after.steps <= given_seconds / STEP_SECONDS + STEPS_AFTER_DEADLINE
    assert after.requests_finished == 1


async def test_one_who_leaves_the_line_is_never_computed(talk: Talk) -> None:
    """With four rows taken, a fifth that goes away costs no step; the four are answered."""
    running = [talk.inference.Generate(request(max_tokens=30)) for _ in range(4)]
    for call in running:
        await wait_for_kind(call, "token")
    gone = talk.inference.Generate(request(prompt_tokens=100, max_tokens=100))
    await wait_for_kind(gone, "started")
    gone.cancel()
    for call in running:
        assert (await wait_for_kind(call, "finished")).finished.usage.output_tokens == 30
    assert (await talk.wait_idle()).prompt_tokens == 4 * 3


async def test_a_neighbour_of_cancelled_ones_is_answered_as_if_alone(talk: Talk, pace: Pace) -> None:
    """Rows that are emptied and filled around it change none of its tokens."""
    pace.seconds(0)
    alone, _ = await read(talk.inference.Generate(request(max_tokens=40)))
    pace.seconds(0.01)
    task = asyncio.create_task(read(talk.inference.Generate(request(max_tokens=40))))
    for number in range(6):
        call = talk.inference.Generate(request(prompt_tokens=20 + number, max_tokens=100))
        await wait_for_kind(call, "token")
        call.cancel()
    events, _ = await task
    assert _ids(events) == _ids(alone)
    assert end_of(events).reason == inference_pb2.FINISH_REASON_LENGTH


async def test_a_request_id_can_be_used_again_at_once(talk: Talk, pace: Pace) -> None:
    """After the end of a stream, and after leaving one, the same id begins a new request."""
    pace.seconds(0)
    for _ in range(3):
        events, error = await read(talk.inference.Generate(request(request_id="mine")))
        assert (error, end_of(events).usage.output_tokens) == (None, 8)
    call = talk.inference.Generate(request(max_tokens=500, request_id="mine"))
    await wait_for_kind(call, "token")
    _, refused = await read(talk.inference.Generate(request(request_id="mine")))
    assert refused is not None
    assert refused.code() == grpc.StatusCode.ALREADY_EXISTS
    call.cancel()
    await talk.wait_idle()
    events, error = await read(talk.inference.Generate(request(request_id="mine")))
    assert (error, end_of(events).usage.output_tokens) == (None, 8)


async def test_a_client_that_reads_nothing_holds_up_nobody(talk: Talk, pace: Pace) -> None:
    """Its tokens wait for it; the engine and the others go on."""
    pace.seconds(0)
    asleep = talk.inference.Generate(request(max_tokens=500))
    events, _ = await read(talk.inference.Generate(request(max_tokens=100)))
    assert end_of(events).usage.output_tokens == 100
    late, error = await read(asleep)
    assert error is None
    assert end_of(late).usage.output_tokens == 500
    async with asyncio.timeout(LIMIT_SECONDS):
        await talk.wait_idle()


def _ids(events: list[inference_pb2.GenerateResponse]) -> list[int]:
    return [token for event in events for token in event.token.ids]
