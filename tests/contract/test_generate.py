"""`Inference.Generate` over the wire."""

import asyncio

import grpc
import pytest

from autoglmd.errors.availability import EngineFailedError
from autoglmd.errors.base import AutoglmError
from autoglmd.messages.generation import (
    Finished,
    FinishReason,
    Logprob,
    PrefillProgress,
    StreamEvent,
    TextPrompt,
    Timings,
    TokenLogprobs,
    TokenText,
    Usage,
)
from openglm.v1 import inference_pb2
from tests.contract.conftest import Door
from tests.support.fake_gateway import finished
from tests.support.rich_status import reason

REQUEST = inference_pb2.GenerateRequest(prompt="你好", request_id="r1")
LIMIT_SECONDS = 5
Events = list[inference_pb2.GenerateResponse]


async def read_all(call: grpc.aio.UnaryStreamCall) -> tuple[Events, grpc.aio.AioRpcError | None]:
    """The events, and the error after them if there was one."""
    events: Events = []
    try:
        async for event in call:
            events.append(event)
    except grpc.aio.AioRpcError as error:
        return events, error
    return events, None


async def test_a_stream_is_started_then_tokens_then_one_finished(door: Door) -> None:
    """The order and number of events is the contract's."""
    events, error = await read_all(door.inference.Generate(REQUEST))
    assert error is None
    assert [event.WhichOneof("event") for event in events] == ["started", "token", "token", "finished"]
    assert "".join(event.token.text for event in events) == "你好"
    assert events[0].started.request_id == "r1"
    assert events[-1].finished.reason == inference_pb2.FINISH_REASON_STOP


async def test_usage_and_timings_arrive_in_tokens_and_milliseconds(door: Door) -> None:
    """Seconds inside, milliseconds on the wire."""
    events, _ = await read_all(door.inference.Generate(REQUEST))
    end = events[-1].finished
    assert (end.usage.prompt_tokens, end.usage.cached_tokens, end.usage.output_tokens) == (5, 2, 3)
    assert end.timings.queue_ms == pytest.approx(10)
    assert end.timings.prefill_ms == pytest.approx(20)
    assert end.timings.decode_ms == pytest.approx(30)
    assert end.timings.total_ms == pytest.approx(60)


async def test_the_request_reaches_the_gateway_as_it_was_sent(door: Door) -> None:
    """Every field has its place in the message that travels on."""
    request = inference_pb2.GenerateRequest(
        prompt="你好",
        model="glm-small",
        sampling=inference_pb2.Sampling(temperature=0.5, top_k=3, seed=2**64 - 1, logprobs=0),
        max_tokens=9,
        stop=["。", "\n"],
        ignore_eos=True,
    )
    await read_all(door.inference.Generate(request))
    (received,) = door.gateway.requests
    assert received.prompt == TextPrompt("你好")
    assert (received.model, received.max_tokens, received.stop) == ("glm-small", 9, ("。", "\n"))
    assert received.ignore_eos
    assert (received.sampling.temperature, received.sampling.top_k) == (0.5, 3)
    assert (received.sampling.seed, received.sampling.logprobs) == (2**64 - 1, 0)
    assert received.sampling.top_p is None


async def test_a_request_without_an_id_gets_a_fresh_one(door: Door) -> None:
    """Two such requests have two ids."""
    call = inference_pb2.GenerateRequest(prompt="a")
    first, _ = await read_all(door.inference.Generate(call))
    second, _ = await read_all(door.inference.Generate(call))
    ids = {first[0].started.request_id, second[0].started.request_id}
    assert len(ids) == 2
    assert "" not in ids


@pytest.mark.parametrize("end", [FinishReason.STOP, FinishReason.LENGTH, FinishReason.CANCELLED])
async def test_a_stream_that_ends_as_it_should_has_status_ok(door: Door, end: FinishReason) -> None:
    """Being cancelled by `Cancel` is what the caller wanted, so it is no error."""
    door.gateway.end = finished(end)
    events, error = await read_all(door.inference.Generate(REQUEST))
    assert error is None
    assert events[-1].finished.reason == inference_pb2.FinishReason.Value(f"FINISH_REASON_{end.name}")


@pytest.mark.parametrize(
    ("end", "cause", "code", "stable"),
    [
        (FinishReason.DEADLINE, None, grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (FinishReason.SHUTDOWN, None, grpc.StatusCode.UNAVAILABLE, "DRAINING"),
        (FinishReason.ERROR, EngineFailedError("step 7"), grpc.StatusCode.INTERNAL, "ENGINE_FAILED"),
        (FinishReason.ERROR, None, grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
async def test_finished_comes_before_the_status_that_says_the_same(
    door: Door, end: FinishReason, cause: AutoglmError | None, code: grpc.StatusCode, stable: str
) -> None:
    """A client that reads events and one that reads statuses learn the same."""
    door.gateway.end = finished(end, cause)
    events, error = await read_all(door.inference.Generate(REQUEST))
    assert events[-1].finished.reason == inference_pb2.FinishReason.Value(f"FINISH_REASON_{end.name}")
    assert events[-1].finished.error_code == (cause.code if cause else "")
    assert error is not None
    assert (error.code(), reason(error)) == (code, stable)


async def test_an_unexpected_error_in_finished_shows_nothing_of_its_inside(door: Door) -> None:
    """Its text stays in the daemon's log."""
    door.gateway.end = finished(FinishReason.ERROR, RuntimeError("secret"))
    events, error = await read_all(door.inference.Generate(REQUEST))
    assert events[-1].finished.error_code == "INTERNAL"
    assert error is not None
    assert "secret" not in str(events) + str(error.details())


async def test_a_stream_that_breaks_the_contract_is_an_internal_error(door: Door) -> None:
    """No Finished is never taken for a good end."""
    door.gateway.end = None
    _, error = await read_all(door.inference.Generate(REQUEST))
    assert error is not None
    assert (error.code(), reason(error)) == (grpc.StatusCode.INTERNAL, "INTERNAL")


async def test_a_caller_that_leaves_closes_the_stream_below(door: Door) -> None:
    """The gateway's generator is closed, without waiting for garbage collection or the next token."""
    door.gateway.hold.clear()
    call = door.inference.Generate(REQUEST)
    async with asyncio.timeout(LIMIT_SECONDS):
        await door.gateway.streaming.wait()
        call.cancel()
        await door.gateway.closed.wait()
        assert await door.server._streams.wait_until_none(LIMIT_SECONDS)


async def test_a_caller_whose_connection_breaks_closes_the_stream_below(door: Door) -> None:
    """A process that dies cancels nothing politely."""
    door.gateway.hold.clear()
    async with grpc.aio.insecure_channel(f"unix:{door.server.socket}") as channel:
        generate = channel.unary_stream(
            "/openglm.v1.Inference/Generate",
            request_serializer=inference_pb2.GenerateRequest.SerializeToString,
            response_deserializer=inference_pb2.GenerateResponse.FromString,
        )
        call = generate(REQUEST)
        await call.read()
        async with asyncio.timeout(LIMIT_SECONDS):
            await door.gateway.streaming.wait()
    async with asyncio.timeout(LIMIT_SECONDS):
        await door.gateway.closed.wait()
    assert await door.server._streams.wait_until_none(LIMIT_SECONDS)


async def test_a_caller_that_reads_nothing_and_leaves_closes_the_stream_below(door: Door) -> None:
    """A full window holds the writer, not the clean-up."""
    door.gateway.texts = ["x" * 65536] * 200
    call = door.inference.Generate(REQUEST)
    async with asyncio.timeout(LIMIT_SECONDS):
        await call.initial_metadata()
        call.cancel()
        await door.server._streams.wait_until_none(LIMIT_SECONDS)
    assert door.server._streams.count == 0


async def test_the_calls_deadline_becomes_the_requests(door: Door) -> None:
    """It is on the monotonic clock, beside the arrival."""
    await read_all(door.inference.Generate(REQUEST, timeout=30))
    (received,) = door.gateway.requests
    assert received.deadline is not None
    assert received.deadline - received.arrived == pytest.approx(30, abs=2)


async def test_a_call_without_a_deadline_has_none(door: Door) -> None:
    """No made-up limit."""
    await read_all(door.inference.Generate(REQUEST))
    assert door.gateway.requests[0].deadline is None


async def test_a_deadline_that_passes_closes_the_stream_below(door: Door) -> None:
    """The caller sees DEADLINE_EXCEEDED and the gateway's generator ends."""
    door.gateway.hold.clear()
    _, error = await read_all(door.inference.Generate(REQUEST, timeout=0.2))
    assert error is not None
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(LIMIT_SECONDS):
        await door.gateway.closed.wait()


@pytest.mark.parametrize("events", [1, 50])
async def test_a_thousand_bytes_of_every_event_survive_the_wire(door: Door, events: int) -> None:
    """Texts, ids and log probabilities come out as they went in."""
    door.gateway.texts = ["字" * 333] * events
    received, _ = await read_all(door.inference.Generate(REQUEST))
    assert [event.token.text for event in received[1:-1]] == door.gateway.texts


async def test_every_kind_of_event_has_its_place_on_the_wire(door: Door) -> None:
    """Progress and log probabilities too."""
    logprobs = TokenLogprobs(Logprob(4, -0.5, "好"), (Logprob(4, -0.5, "好"), Logprob(9, -1.5, "�")))
    script: list[StreamEvent] = [
        PrefillProgress(256, 1000),
        TokenText("好", (4,), (logprobs,)),
        Finished(FinishReason.STOP, Usage(1, 0, 1), Timings(0, 0, 0, 0), stop="。"),
    ]
    door.gateway.script = script
    events, _ = await read_all(door.inference.Generate(REQUEST))
    assert (events[1].prefill.done_tokens, events[1].prefill.total_tokens) == (256, 1000)
    (entry,) = events[2].token.logprobs
    assert (entry.chosen.id, entry.chosen.text, entry.chosen.logprob) == (4, "好", -0.5)
    assert [alternative.id for alternative in entry.top] == [4, 9]
    assert events[3].finished.stop == "。"


async def test_log_lines_of_a_request_carry_its_ids(door: Door) -> None:
    """Without being told: the scope is the call's."""
    events, _ = await read_all(door.inference.Generate(REQUEST))
    assert door.gateway.scopes == [{"request_id": "r1", "trace_id": events[0].started.trace_id}]


async def test_log_lines_of_a_request_whose_client_has_left_do_too(door: Door) -> None:
    """It is closed in the same scope."""
    door.gateway.hold.clear()
    call = door.inference.Generate(REQUEST)
    trace_id = (await call.read()).started.trace_id
    call.cancel()
    await asyncio.wait_for(door.gateway.closed.wait(), LIMIT_SECONDS)
    assert door.gateway.scopes == [{"request_id": "r1", "trace_id": trace_id}]


async def test_cancel_reaches_the_gateway(door: Door) -> None:
    """And says whether there was such a request."""
    await read_all(door.inference.Generate(REQUEST))
    known = await door.inference.Cancel(inference_pb2.CancelRequest(request_id="r1"))
    unknown = await door.inference.Cancel(inference_pb2.CancelRequest(request_id="r2"))
    assert (known.cancelled, unknown.cancelled) == (True, False)
    assert door.gateway.cancelled == ["r1", "r2"]


async def test_tokenize_answers_with_ids_and_pieces(door: Door) -> None:
    """One piece per id."""
    response = await door.inference.Tokenize(inference_pb2.TokenizeRequest(prompt="你好", model="glm-small"))
    assert (list(response.ids), list(response.pieces)) == ([1, 2], ["你", "好"])
    assert door.gateway.tokenized == [("glm-small", TextPrompt("你好"))]
