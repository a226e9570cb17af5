"""What a caller gets who asks for what cannot be: a status, google.rpc details, and a daemon that goes on."""

import logging
from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2

from autoglmd.errors.availability import DrainingError, ModelFailedError, ModelNotReadyError, QueueFullError
from autoglmd.errors.base import AutoglmError
from autoglmd.errors.request import InvalidArgumentError, ModelNotFoundError, PromptTooLongError, RequestIdInUseError
from openglm.v1 import inference_pb2, models_pb2
from tests.contract.conftest import Door
from tests.support.rich_status import detail, reason, rich_status, violated_field

REQUEST = inference_pb2.GenerateRequest(prompt="你好", request_id="r1")


async def refusal(door: Door, request: inference_pb2.GenerateRequest = REQUEST) -> grpc.aio.AioRpcError:
    """How `Generate` answers, which must be without any event."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.inference.Generate(request).read()
    return caught.value


async def still_serves(door: Door) -> bool:
    """Whether an ordinary request gets its answer."""
    door.gateway.refusal = None
    events = [event async for event in door.inference.Generate(REQUEST)]
    return bool(events[-1].finished.reason == inference_pb2.FINISH_REASON_STOP)


async def test_a_full_queue_answers_resource_exhausted_with_retry_info(door: Door) -> None:
    """When to come back is part of the answer."""
    door.gateway.refusal = QueueFullError(64, 64, 1.25)
    error = await refusal(door)
    assert (error.code(), reason(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    delay = detail(rich_status(error), error_details_pb2.RetryInfo).retry_delay
    assert delay.ToMilliseconds() == 1250
    assert await still_serves(door)


async def test_a_prompt_too_long_answers_out_of_range_with_the_counts(door: Door) -> None:
    """The numbers are there for programs, not just in the sentence."""
    door.gateway.refusal = PromptTooLongError(5000, 100, 4096, "the context")
    error = await refusal(door)
    assert (error.code(), reason(error)) == (grpc.StatusCode.OUT_OF_RANGE, "PROMPT_TOO_LONG")
    info = detail(rich_status(error), error_details_pb2.ErrorInfo)
    assert info.domain == "autoglmd"
    numbers = {"prompt_tokens": "5000", "output_tokens": "100", "limit_tokens": "4096"}
    assert info.metadata == numbers | {"counted": "true"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelNotFoundError("glm-x", ("glm-small",)), grpc.StatusCode.NOT_FOUND),
        (ModelNotReadyError("glm-small", "loading", "it is loading."), grpc.StatusCode.UNAVAILABLE),
        (ModelFailedError("glm-small", "its weights are broken."), grpc.StatusCode.FAILED_PRECONDITION),
        (DrainingError(), grpc.StatusCode.UNAVAILABLE),
        (RequestIdInUseError("r1"), grpc.StatusCode.ALREADY_EXISTS),
        (InvalidArgumentError("token_ids.ids[3]", "is not in the vocabulary"), grpc.StatusCode.INVALID_ARGUMENT),
    ],
    ids=lambda value: value.code if isinstance(value, AutoglmError) else value.name,
)
async def test_each_refusal_has_its_status_and_stable_code(
    door: Door, error: AutoglmError, code: grpc.StatusCode
) -> None:
    """And the sentence of the error, as it was raised."""
    door.gateway.refusal = error
    answer = await refusal(door)
    assert (answer.code(), reason(answer), answer.details()) == (code, error.code, error.message)
    assert await still_serves(door)


async def test_an_unexpected_error_names_its_trace_and_nothing_else(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback is in the log, under the same trace id."""
    caplog.set_level(logging.ERROR, logger="autoglmd")
    door.gateway.refusal = RuntimeError("/secret/path")
    error = await refusal(door)
    assert (error.code(), reason(error)) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    info = detail(rich_status(error), error_details_pb2.ErrorInfo)
    assert info.metadata["request_id"] == "r1"
    assert info.metadata["trace_id"] in str(error.details())
    assert "secret" not in str(error.details())
    assert "/secret/path" in caplog.text
    assert await still_serves(door)


def bad_requests() -> Iterator[tuple[str, inference_pb2.GenerateRequest]]:
    """One request per way to be wrong, with the field that must be named. The full list is the unit tests'."""
    yield "input", inference_pb2.GenerateRequest()
    yield "prompt", inference_pb2.GenerateRequest(prompt="")
    yield "chat.messages", inference_pb2.GenerateRequest(chat=inference_pb2.Chat())
    yield "token_ids.ids", inference_pb2.GenerateRequest(token_ids=inference_pb2.TokenIds())
    yield "max_tokens", inference_pb2.GenerateRequest(prompt="a", max_tokens=-1)
    nan = inference_pb2.Sampling(temperature=float("nan"))
    yield "sampling.temperature", inference_pb2.GenerateRequest(prompt="a", sampling=nan)
    yield "stop", inference_pb2.GenerateRequest(prompt="a", stop=["x"] * 17)
    yield "request_id", inference_pb2.GenerateRequest(prompt="a", request_id="has space")
    yield "model", inference_pb2.GenerateRequest(prompt="a", model="x" * 4000)
    yield "session_id", inference_pb2.GenerateRequest(prompt="a", session_id="x" * 129)


@pytest.mark.parametrize(
    ("field", "request_"), [*bad_requests()], ids=lambda value: value if isinstance(value, str) else ""
)
async def test_a_bad_parameter_answers_invalid_argument_naming_the_field(
    door: Door, field: str, request_: inference_pb2.GenerateRequest
) -> None:
    """Nothing of it reaches the gateway."""
    error = await refusal(door, request_)
    assert (error.code(), violated_field(error)) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert door.gateway.requests == []


async def test_a_model_that_is_not_ready_answers_with_its_state_and_the_reason(door: Door) -> None:
    """A client sees without another call whether waiting is of use."""
    door.gateway.refusal = ModelFailedError("glm-small", "its weights are broken.")
    info = detail(rich_status(await refusal(door)), error_details_pb2.ErrorInfo)
    assert info.metadata == {"name": "glm-small", "state": "failed", "reason": "its weights are broken."}


async def test_tokenize_refuses_like_generate(door: Door) -> None:
    """The same table."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.inference.Tokenize(inference_pb2.TokenizeRequest())
    assert violated_field(caught.value) == "input"
    door.gateway.refusal = ModelNotReadyError("glm-small", "loading", "it is loading.")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.inference.Tokenize(inference_pb2.TokenizeRequest(prompt="a"))
    assert reason(caught.value) == "MODEL_NOT_READY"


async def test_cancel_without_an_id_names_the_field(door: Door) -> None:
    """An empty id cancels nothing."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.inference.Cancel(inference_pb2.CancelRequest())
    assert violated_field(caught.value) == "request_id"


async def test_an_unknown_model_answers_not_found_with_the_known_ones(door: Door) -> None:
    """The remedy is in the sentence."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.models.GetModel(models_pb2.GetModelRequest(name="glm-x"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "glm-small" in str(caught.value.details())


async def test_an_endless_error_text_still_arrives_as_a_status(door: Door) -> None:
    """Headers are bounded: a long Chinese text would otherwise kill the stream instead of ending it."""
    door.gateway.refusal = ModelFailedError("glm-small", "载" * 50_000)
    error = await refusal(door)
    assert (error.code(), reason(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_NOT_READY")
    assert str(error.details()).endswith("…")
