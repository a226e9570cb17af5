"""The requests, built from what the caller said. No I/O: both kinds of client send what this file makes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar

from openglm import _convert
from openglm._connection import Connection
from openglm._fields import bad, check_timeout, unfit
from openglm._models import DaemonStatus, Message, ModelInfo, Session, SessionInfo, TokenizedText
from openglm._readiness import ready
from openglm.v1 import admin_pb2, inference_pb2, models_pb2, sessions_pb2

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
_PLAIN = ("request_id", "model", "max_tokens", "session_id", "ignore_eos")


class GenerateOptions(TypedDict, total=False):
    """What a request may say beside its prompt. What is left out, or None, takes the daemon's default.

    `temperature` 0 is greedy (range 0 to 5); `top_k` 0, `top_p` 1, `min_p` 0 and `repetition_penalty` 1 are off;
    `presence_penalty` and `frequency_penalty` are in [-2, 2]; the same `seed` gives the same answer; `logprobs` is
    how many alternatives to report per token (0 to 20). `stop` is one string or up to 16. `timeout` is in seconds
    and spans the whole call, retries included. `traceparent` is a W3C trace context to be part of.
    With a `session_id` the daemon keeps the conversation, and only what is new is sent.
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
    """One Generate call, ready to be sent, any number of times."""

    request: inference_pb2.GenerateRequest
    timeout: float | None
    metadata: tuple[tuple[str, str], ...]

    def start(self, connection: Connection, timeout: float | None) -> Any:
        """Make the call, of the connection's kind; `timeout` in seconds."""
        return connection.start("Generate", self.request, timeout, self.metadata)


@dataclass(frozen=True, slots=True)
class UnaryCall(Generic[T]):
    """One question with one answer: which method, what to send, and how to read what comes back."""

    method: str
    request: Any
    read: Callable[[Any], T]

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
    _fill(request.sampling, {name: given[name] for name in _SAMPLING if name in given})
    _fill(request, {name: given[name] for name in _PLAIN if name in given})
    _fill_stop(request, given.get("stop", ()))
    trace = given.get("traceparent")
    return GenerateCall(request, options.get("timeout"), (("traceparent", str(trace)),) if trace else ())


def tokenize(prompt: Prompt, model: str) -> UnaryCall[TokenizedText]:
    """Build a Tokenize call. Raises InvalidArgumentError as `generate` does."""
    request = inference_pb2.TokenizeRequest()
    if prompt.token_ids is not None:
        raise bad("token_ids", "these are token ids already")
    _fill_input(request, prompt)
    _fill(request, {"model": model})
    return UnaryCall("Tokenize", request, _convert.tokenized)


def cancel(request_id: str) -> UnaryCall[bool]:
    """Build a Cancel call."""
    request = inference_pb2.CancelRequest()
    _fill(request, {"request_id": request_id})
    return UnaryCall("Cancel", request, _convert.cancelled)


def models() -> UnaryCall[tuple[ModelInfo, ...]]:
    """Build a ListModels call."""
    return UnaryCall("ListModels", models_pb2.ListModelsRequest(), _convert.models)


def model(name: str) -> UnaryCall[ModelInfo]:
    """Build a GetModel call; an empty name is the daemon's default model."""
    request = models_pb2.GetModelRequest()
    _fill(request, {"name": name})
    return UnaryCall("GetModel", request, _convert.model)


def ready_model(name: str) -> UnaryCall[ModelInfo]:
    """Build a GetModel call whose answer is an error as long as the model cannot be asked."""
    call = model(name)
    return UnaryCall(call.method, call.request, lambda answer: ready(call.read(answer)))


def sessions() -> UnaryCall[tuple[SessionInfo, ...]]:
    """Build a ListSessions call."""
    return UnaryCall("ListSessions", sessions_pb2.ListSessionsRequest(), _convert.sessions)


def session(session_id: str) -> UnaryCall[Session]:
    """Build a GetSession call."""
    request = sessions_pb2.GetSessionRequest()
    _fill(request, {"session_id": session_id})
    return UnaryCall("GetSession", request, _convert.session)


def delete_session(session_id: str) -> UnaryCall[None]:
    """Build a DeleteSession call."""
    request = sessions_pb2.DeleteSessionRequest()
    _fill(request, {"session_id": session_id})
    return UnaryCall("DeleteSession", request, lambda _: None)


def status() -> UnaryCall[DaemonStatus]:
    """Build a Status call."""
    return UnaryCall("Status", admin_pb2.StatusRequest(), _convert.status)


def _fill_input(request: Any, prompt: Prompt) -> None:
    given = [item for item in (prompt.text, prompt.messages, prompt.token_ids) if item is not None]
    if len(given) != 1:
        raise bad("prompt", f"give exactly one of prompt, messages and token_ids; got {len(given)}")
    if prompt.text is not None:
        _fill(request, {"prompt": prompt.text})
    elif prompt.messages is not None:
        request.chat.SetInParent()
        for index, message in enumerate(prompt.messages):
            _fill(request.chat.messages.add(), _turn(message), f"messages[{index}].")
    else:
        request.token_ids.SetInParent()
        _extend(request.token_ids.ids, prompt.token_ids, "token_ids")


def _turn(message: MessageLike) -> dict[str, Any]:
    if isinstance(message, Message):
        return {"role": message.role, "content": message.content}
    if isinstance(message, Mapping) and message.keys() == {"role", "content"}:
        return dict(message)
    raise bad("messages", f"a message has a role and a content; got {message!r}")


def _fill_stop(request: inference_pb2.GenerateRequest, stop: object) -> None:
    _extend(request.stop, [stop] if isinstance(stop, str) else stop, "stop")


def _fill(message: Any, values: Mapping[str, Any], prefix: str = "") -> None:
    for name, value in values.items():
        try:
            setattr(message, name, value)
        except (TypeError, ValueError) as error:
            raise unfit(prefix + name, value, error) from None


def _extend(field: Any, values: Any, name: str) -> None:
    try:
        field.extend(values)
    except (TypeError, ValueError) as error:
        raise unfit(name, values, error) from None
