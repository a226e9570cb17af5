"""`Resume` on the wire."""

import asyncio

import grpc
import pytest

from autoglmd.errors.availability import DrainingError
from autoglmd.errors.session import AnswerGoneError, AnswerNotFoundError
from autoglmd.messages.generation import FinishReason, PrefillProgress
from autoglmd.messages.sessions import SessionKey
from openglm.v1 import inference_pb2
from tests.contract.conftest import Door
from tests.support.fake_gateway import finished
from tests.support.rich_status import reason

LIMIT_SECONDS = 10.0


def asked(**fields: object) -> inference_pb2.ResumeRequest:
    """A call in the session "home", with these fields."""
    return inference_pb2.ResumeRequest(**{"session_id": "home", **fields})


async def test_the_rest_comes_as_an_answer_does(door: Door) -> None:
    """The same kinds of events, with the same fields, of the first request."""
    generated = [event async for event in door.inference.Generate(inference_pb2.GenerateRequest(prompt="a"))]
    resumed = [event async for event in door.inference.Resume(asked())]
    assert [event.WhichOneof("event") for event in resumed] == ["started", "token", "token", "finished"]
    assert resumed[0].started.request_id == "first"
    for one, other in zip(generated[1:], resumed[1:], strict=True):
        assert one.SerializeToString() == other.SerializeToString()


async def test_progress_is_told_while_what_was_lost_is_computed_again(door: Door) -> None:
    """As for a long prompt."""
    door.gateway.script = [PrefillProgress(8, 20), finished()]
    resumed = [event async for event in door.inference.Resume(asked())]
    assert (resumed[1].prefill.done_tokens, resumed[1].prefill.total_tokens) == (8, 20)


async def test_what_is_asked_arrives(door: Door) -> None:
    """Whose session, which answer, from where, and until when."""
    before = asyncio.get_running_loop().time()
    call = door.inference.Resume(asked(after_token=7, request_id="r1"), timeout=LIMIT_SECONDS)
    _ = [event async for event in call]
    (told,) = door.gateway.resumptions
    assert (told.session, told.after_token, told.request_id) == (SessionKey("socket", "home"), 7, "r1")
    assert told.deadline is not None
    assert 0 < told.deadline - told.arrived <= LIMIT_SECONDS * 1.01
    assert before <= told.arrived


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (inference_pb2.ResumeRequest(), "session_id"),
        (asked(session_id="a\n"), "session_id"),
        (asked(session_id="a" * 129), "session_id"),
        (asked(after_token=-1), "after_token"),
        (asked(request_id="two words"), "request_id"),
        (asked(request_id="a" * 129), "request_id"),
    ],
)
async def test_a_field_out_of_its_range_is_refused_by_its_name(
    door: Door, request_: inference_pb2.ResumeRequest, field: str
) -> None:
    """Before anybody looks for an answer."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        _ = [event async for event in door.inference.Resume(request_)]
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.value.details().startswith(f"{field}: ")
    assert door.gateway.resumptions == []


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (AnswerNotFoundError("home", "r1"), grpc.StatusCode.NOT_FOUND, "ANSWER_NOT_FOUND"),
        (AnswerGoneError("home", "r1", "why"), grpc.StatusCode.FAILED_PRECONDITION, "ANSWER_GONE"),
        (DrainingError(), grpc.StatusCode.UNAVAILABLE, "DRAINING"),
    ],
)
async def test_a_refusal_says_why(door: Door, error: Exception, code: grpc.StatusCode, name: str) -> None:
    """By status and reason."""
    door.gateway.refusal = error
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        _ = [event async for event in door.inference.Resume(asked())]
    assert (failure.value.code(), reason(failure.value)) == (code, name)


async def test_an_answer_that_breaks_off_again_says_so(door: Door) -> None:
    """Finished, and then the status."""
    door.gateway.end = finished(FinishReason.SHUTDOWN, DrainingError())
    call = door.inference.Resume(asked())
    events = [await call.read() for _ in range(4)]
    assert events[-1].finished.reason == inference_pb2.FINISH_REASON_SHUTDOWN
    assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_reader_that_leaves_closes_the_stream(door: Door) -> None:
    """As with Generate: what is computed for nobody ends."""
    door.gateway.hold.clear()
    call = door.inference.Resume(asked())
    async with asyncio.timeout(LIMIT_SECONDS):
        await door.gateway.streaming.wait()
        call.cancel()
        await door.gateway.closed.wait()
        assert await door.server._streams.wait_until_none(LIMIT_SECONDS)
