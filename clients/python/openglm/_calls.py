"""The requests, built from what the caller said. No I/O: both kinds of client send what this file makes."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypedDict, TypeVar

from openglm import _convert
from openglm._answer_calls import AnswerAlone, AnswerCalls, AnswerInSession, AnswerOfBefore, Metadata
from openglm._connection import Connection
from openglm._fields import bad, check_timeout, extend, fill
from openglm._models import DaemonStatus, ModelInfo, TokenizedText
from openglm._readiness import ready
from openglm._session_models import Message
from openglm.v1 import admin_pb2, inference_pb2, models_pb2

MessageLike = Message | Mapping[str, str]
T = TypeVar("T")

_SAMPLING = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "logprobs",
)
_OVERFLOWS = {
    "refuse": inference_pb2.OVERFLOW_REFUSE,
    "drop_oldest": inference_pb2.OVERFLOW_DROP_OLDEST,
}
_PLAIN = ("request_id", "model", "max_tokens", "session_id", "ignore_eos")


class GenerateOptions(TypedDict, total=False):
    """What a request may say beside its prompt. What is left out, or None, takes the daemon's default.

    `temperature` 0 is greedy (range 0 to 5); `top_k` 0, `top_p` 1, `min_p` 0 and `repetition_penalty` 1 are off;
    `presence_penalty` and `frequency_penalty` are in [-2, 2]; the same `seed` gives the same answer; `logprobs` is
    how many alternatives to report per token (0 to 20). `stop` is one string or up to 16. `timeout` is in seconds
    and spans the whole call, retries included. `traceparent` is a W3C trace context to be part of.
    With a `session_id` the daemon keeps the conversation, and only what is new is sent. `overflow` is what happens to
    a conversation that has outgrown the context: "refuse" (the default) or "drop_oldest" (turns). Without a
    `request_id` one is drawn.
    """

    model: str | None
    max_tokens: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    seed: int | None
    logprobs: int | None
    stop: str | Sequence[str] | None
    session_id: str | None
    request_id: str | None
    ignore_eos: bool | None
    overflow: Literal["refuse", "drop_oldest"] | None
    timeout: float | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to answer: exactly one of a text, a chat and token ids."""

    text: str | None = None
    messages: Iterable[MessageLike] | None = None
    token_ids: Iterable[int] | None = None


@dataclass(frozen=True, slots=True)
class GenerateCall:
    """What the caller asked, and how long it may take."""

    request: inference_pb2.GenerateRequest
    timeout: float | None
    metadata: Metadata

    def answer(self) -> AnswerCalls:
        """The calls that its answer may take."""
        if self.request.session_id:
            return AnswerInSession(self.request, self.metadata)
        return AnswerAlone(self.request, self.metadata)


@dataclass(frozen=True, slots=True)
class UnaryCall(Generic[T]):
    """One question with one answer: which method, what to send, and how to read what comes back.

    One that `changes` something is not asked again where it may have been heard.
    """

    method: str
    request: Any
    read: Callable[[Any], T]
    changes: bool = False

    def start(self, connection: Connection, timeout: float | None) -> Any:
        """Make the call; what comes back is the answer, or awaits it."""
        return connection.start(self.method, self.request, timeout)


def generate(prompt: Prompt, options: GenerateOptions) -> GenerateCall:
    """Build a Generate call.

    Raises:
        InvalidArgumentError: not exactly one input, or a value that the request cannot hold; names the field.
        TypeError: an option of that name does not exist.
    """
    unknown = options.keys() - GenerateOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"There is no option named {', '.join(sorted(unknown))}.")
    check_timeout(options.get("timeout"))
    given = {name: value for name, value in options.items() if value is not None}
    request = inference_pb2.GenerateRequest()
    _fill_input(request, prompt)
    fill(request.sampling, {name: given[name] for name in _SAMPLING if name in given})
    fill(request, {name: given[name] for name in _PLAIN if name in given})
    # By this name the answer is known to a daemon that has been started anew.
    request.request_id = request.request_id or uuid.uuid4().hex
    if "overflow" in given:
        request.overflow = _overflow(given["overflow"])
    _fill_stop(request, given.get("stop", ()))
    trace = given.get("traceparent")
    return GenerateCall(request, options.get("timeout"), (("traceparent", str(trace)),) if trace else ())


def resume(session_id: str, after_token: int, request_id: str | None) -> AnswerOfBefore:
    """Build a Resume call. Raises InvalidArgumentError."""
    request = inference_pb2.ResumeRequest()
    fill(request, {"session_id": session_id, "after_token": after_token, "request_id": request_id or ""})
    return AnswerOfBefore(request)


def tokenize(prompt: Prompt, model: str) -> UnaryCall[TokenizedText]:
    """Build a Tokenize call. Raises InvalidArgumentError as `generate` does."""
    request = inference_pb2.TokenizeRequest()
    if prompt.token_ids is not None:
        raise bad("token_ids", "these are token ids already")
    _fill_input(request, prompt)
    fill(request, {"model": model})
    return UnaryCall("Tokenize", request, _convert.tokenized)


def cancel(request_id: str) -> UnaryCall[bool]:
    """Build a Cancel call."""
    request = inference_pb2.CancelRequest()
    fill(request, {"request_id": request_id})
    return UnaryCall("Cancel", request, _convert.cancelled)


def models() -> UnaryCall[tuple[ModelInfo, ...]]:
    """Build a ListModels call."""
    return UnaryCall("ListModels", models_pb2.ListModelsRequest(), _convert.models)


def model(name: str) -> UnaryCall[ModelInfo]:
    """Build a GetModel call; an empty name is the daemon's default model."""
    request = models_pb2.GetModelRequest()
    fill(request, {"name": name})
    return UnaryCall("GetModel", request, _convert.model)


def ready_model(name: str) -> UnaryCall[ModelInfo]:
    """Build a GetModel call whose answer is an error as long as the model cannot be asked."""
    call = model(name)
    return UnaryCall(call.method, call.request, lambda answer: ready(call.read(answer)))


def status() -> UnaryCall[DaemonStatus]:
    """Build a Status call."""
    return UnaryCall("Status", admin_pb2.StatusRequest(), _convert.status)


def _fill_input(request: Any, prompt: Prompt) -> None:
    given = [item for item in (prompt.text, prompt.messages, prompt.token_ids) if item is not None]
    if len(given) != 1:
        raise bad("prompt", f"give exactly one of prompt, messages and token_ids; got {len(given)}")
    if prompt.text is not None:
        fill(request, {"prompt": prompt.text})
    elif prompt.messages is not None:
        request.chat.SetInParent()
        for index, message in enumerate(prompt.messages):
            fill(request.chat.messages.add(), _turn(message), f"messages[{index}].")
    else:
        request.token_ids.SetInParent()
        extend(request.token_ids.ids, prompt.token_ids, "token_ids")


def _turn(message: MessageLike) -> dict[str, Any]:
    if isinstance(message, Message):
        return {"role": message.role, "content": message.content}
    if isinstance(message, Mapping) and message.keys() == {"role", "content"}:
        return dict(message)
    raise bad("messages", f"a message has a role and a content; got {message!r}")


def _overflow(wanted: object) -> inference_pb2.Overflow:
    if wanted not in _OVERFLOWS:
        raise bad("overflow", f"is one of {', '.join(_OVERFLOWS)}; got {wanted!r}")
    return _OVERFLOWS[str(wanted)]


def _fill_stop(request: inference_pb2.GenerateRequest, stop: object) -> None:
    extend(request.stop, [stop] if isinstance(stop, str) else stop, "stop")
