"""What comes in: protobuf requests to checked messages. Whatever is out of its range is refused by its field's name."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from autoglmd.edge.sampling import sampling_of
from autoglmd.errors.request import InvalidArgumentError, NotSupportedError
from autoglmd.messages.generation import (
    ChatPrompt,
    GenerationRequest,
    Message,
    Overflow,
    Prompt,
    ResumptionRequest,
    TextPrompt,
    TokenPrompt,
)
from autoglmd.messages.sessions import SessionKey
from openglm.v1 import inference_pb2

REQUEST_ID_CHARACTERS = 128
MODEL_NAME_CHARACTERS = 128
SESSION_CHARACTERS = 128
STOP_STRINGS = 16
STOP_CHARACTERS = 256
# Longer ones would hold up everybody's streams while they are looked through.
CHAT_MESSAGES = 1024
TOKEN_IDS = 1 << 20


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the call itself says, beside the request in it.

    Attributes:
        arrived: monotonic seconds.
        remaining_seconds: until the caller gives up; `None` for never.
        tenant: tells whose sessions are meant, or raises NotSupportedError.
    """

    arrived: float
    remaining_seconds: float | None
    trace_id: str
    tenant: Callable[[], str]

    @property
    def deadline(self) -> float | None:
        """When the caller gives up, in monotonic seconds; `None` for never."""
        return None if self.remaining_seconds is None else self.arrived + self.remaining_seconds


def generation_request(request: inference_pb2.GenerateRequest, call: CallFacts) -> GenerationRequest:
    """Check a `Generate` call whole.

    Raises:
        InvalidArgumentError: names the first field that is missing or out of its range.
    """
    return GenerationRequest(
        request_id=_request_id(request.request_id) or uuid.uuid4().hex,
        model=model_name(request.model),
        prompt=_generate_prompt(request),
        sampling=sampling_of(request.sampling),
        max_tokens=_max_tokens(request),
        stop=_stop(request),
        ignore_eos=request.ignore_eos,
        deadline=call.deadline,
        arrived=call.arrived,
        trace_id=call.trace_id,
        session=SessionKey(call.tenant(), session_name(request.session_id)) if request.session_id else None,
        tenant=known_tenant(call.tenant),
        overflow=_overflow(request),
    )


def known_tenant(tenant: Callable[[], str]) -> str | None:
    """Whose request it is, if that can be told. Without a session nothing is lost where it cannot."""
    try:
        return tenant()
    except NotSupportedError:
        return None


def resumption_request(request: inference_pb2.ResumeRequest, call: CallFacts) -> ResumptionRequest:
    """Check a `Resume` call whole. Raises InvalidArgumentError."""
    session_id = session_name(request.session_id)
    if request.after_token < 0:
        raise InvalidArgumentError("after_token", f"must be at least 0, not {request.after_token}.")
    return ResumptionRequest(
        session=SessionKey(call.tenant(), session_id),
        after_token=request.after_token,
        request_id=_request_id(request.request_id),
        deadline=call.deadline,
        arrived=call.arrived,
        trace_id=call.trace_id,
    )


def tokenize_prompt(request: inference_pb2.TokenizeRequest) -> TextPrompt | ChatPrompt:
    """The prompt of a `Tokenize` call. Raises InvalidArgumentError."""
    if request.WhichOneof("input") == "chat":
        return _chat(request.chat)
    if request.WhichOneof("input") == "prompt":
        return _text(request.prompt)
    raise InvalidArgumentError("input", "is missing; set prompt or chat.")


def cancelled_request_id(request: inference_pb2.CancelRequest) -> str:
    """The id in a `Cancel` call. Raises InvalidArgumentError."""
    if not request.request_id:
        raise InvalidArgumentError("request_id", "is empty; name the request to cancel.")
    return _request_id(request.request_id)


def model_name(name: str, field: str = "model") -> str:
    """A name of bearable length; empty for the default. Raises InvalidArgumentError."""
    if len(name) > MODEL_NAME_CHARACTERS:
        raise InvalidArgumentError(
            field, f"has {len(name)} characters; a model's name has at most {MODEL_NAME_CHARACTERS}."
        )
    return name


def session_name(session_id: str, field: str = "session_id") -> str:
    """A session's name, of bearable length and for eyes. Raises InvalidArgumentError."""
    if not session_id.isprintable() or not 0 < len(session_id) <= SESSION_CHARACTERS:
        raise InvalidArgumentError(
            field, f"must be 1 to {SESSION_CHARACTERS} printable characters, not {session_id[:40]!r}."
        )
    return session_id


def _generate_prompt(request: inference_pb2.GenerateRequest) -> Prompt:
    match request.WhichOneof("input"):
        case "prompt":
            return _text(request.prompt)
        case "chat":
            return _chat(request.chat)
        case "token_ids":
            return _token_ids(request.token_ids)
        case _:
            raise InvalidArgumentError("input", "is missing; set prompt, chat or token_ids.")


def _text(prompt: str) -> TextPrompt:
    if not prompt:
        raise InvalidArgumentError("prompt", "is empty; give at least one character.")
    return TextPrompt(prompt)


def _chat(chat: inference_pb2.Chat) -> ChatPrompt:
    if len(chat.messages) > CHAT_MESSAGES:
        raise InvalidArgumentError(
            "chat.messages", f"has {len(chat.messages)} messages; at most {CHAT_MESSAGES} are taken. Send fewer turns."
        )
    if not any(message.content for message in chat.messages):
        raise InvalidArgumentError("chat.messages", "has nothing in it; give at least one message with content.")
    for index, message in enumerate(chat.messages):
        if not message.role:
            raise InvalidArgumentError(f"chat.messages[{index}].role", 'is empty; say who speaks, for example "user".')
    return ChatPrompt(tuple(Message(message.role, message.content) for message in chat.messages))


def _token_ids(token_ids: inference_pb2.TokenIds) -> TokenPrompt:
    if len(token_ids.ids) > TOKEN_IDS:
        raise InvalidArgumentError(
            "token_ids.ids", f"has {len(token_ids.ids)} ids; no context holds more than {TOKEN_IDS}."
        )
    ids = tuple(token_ids.ids)
    if not ids:
        raise InvalidArgumentError("token_ids.ids", "is empty; give at least one id.")
    if min(ids) < 0:
        index = next(index for index, token_id in enumerate(ids) if token_id < 0)
        raise InvalidArgumentError(f"token_ids.ids[{index}]", f"must be at least 0, not {ids[index]}.")
    return TokenPrompt(ids)


def _overflow(request: inference_pb2.GenerateRequest) -> Overflow:
    match request.overflow:
        case inference_pb2.OVERFLOW_UNSPECIFIED | inference_pb2.OVERFLOW_REFUSE:
            return Overflow.REFUSE
        case inference_pb2.OVERFLOW_DROP_OLDEST:
            if request.WhichOneof("input") == "chat":
                return Overflow.DROP_OLDEST
            raise InvalidArgumentError(
                "overflow", "is for chats: a plain prompt has no turns to drop. Send `chat`, or leave it out."
            )
        case unknown:
            raise InvalidArgumentError("overflow", f"has value {unknown}, which this daemon does not know.")


def _request_id(request_id: str) -> str:
    visible = request_id.isascii() and request_id.isprintable() and " " not in request_id
    if not visible or len(request_id) > REQUEST_ID_CHARACTERS:
        raise InvalidArgumentError(
            "request_id", f"must be at most {REQUEST_ID_CHARACTERS} visible ASCII characters, or empty."
        )
    return request_id


def _max_tokens(request: inference_pb2.GenerateRequest) -> int | None:
    if not request.HasField("max_tokens"):
        return None
    if request.max_tokens < 1:
        raise InvalidArgumentError("max_tokens", f"must be at least 1, not {request.max_tokens}.")
    return request.max_tokens


def _stop(request: inference_pb2.GenerateRequest) -> tuple[str, ...]:
    if len(request.stop) > STOP_STRINGS:
        raise InvalidArgumentError("stop", f"has {len(request.stop)} strings; at most {STOP_STRINGS} are taken.")
    for index, text in enumerate(request.stop):
        if not 0 < len(text) <= STOP_CHARACTERS:
            raise InvalidArgumentError(
                f"stop[{index}]", f"must have 1 to {STOP_CHARACTERS} characters, not {len(text)}."
            )
    return tuple(request.stop)
