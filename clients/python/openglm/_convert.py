"""From the daemon's messages to this library's values."""

from dataclasses import fields
from datetime import UTC
from typing import Any

from openglm._models import (
    CacheMiss,
    CacheTier,
    DaemonState,
    DaemonStatus,
    EngineStatus,
    Event,
    Finished,
    FinishReason,
    Logprob,
    ModelInfo,
    ModelState,
    PrefillProgress,
    Started,
    Timings,
    Token,
    TokenizedText,
    TokenLogprobs,
    Usage,
)
from openglm._session_models import Message, Session, SessionInfo, SessionsStatus, Turn
from openglm.v1 import admin_pb2, inference_pb2, models_pb2, sessions_pb2

_ChangedSession = (
    sessions_pb2.ForkSessionResponse | sessions_pb2.RewindSessionResponse | sessions_pb2.ImportSessionResponse
)


def event(message: inference_pb2.GenerateResponse | inference_pb2.ResumeResponse) -> Event | None:
    """The event in one message of a stream; `None` for a kind that a newer daemon may send."""
    match message.WhichOneof("event"):
        case "token":
            return _token(message.token)
        case "started":
            return _started(message.started)
        case "prefill":
            return PrefillProgress.from_proto(message.prefill)
        case "finished":
            return _finished(message.finished)
    return None


def tokenized(message: inference_pb2.TokenizeResponse) -> TokenizedText:
    """The answer of Tokenize."""
    return TokenizedText(tuple(message.ids), tuple(message.pieces))


def cancelled(message: inference_pb2.CancelResponse) -> bool:
    """The answer of Cancel."""
    return message.cancelled


def model(message: models_pb2.GetModelResponse) -> ModelInfo:
    """The answer of GetModel."""
    return _model(message.model)


def models(message: models_pb2.ListModelsResponse) -> tuple[ModelInfo, ...]:
    """The answer of ListModels."""
    return tuple(_model(item) for item in message.models)


def status(message: admin_pb2.StatusResponse) -> DaemonStatus:
    """The answer of Status."""
    return DaemonStatus(
        **_scalars(DaemonStatus, message)
        | {
            "state": _enum(DaemonState, admin_pb2.DaemonState, message.state),
            "available_providers": tuple(message.available_providers),
            "models": tuple(_model(item) for item in message.models),
            "engines": tuple(EngineStatus.from_proto(item) for item in message.engines),
            "sessions": SessionsStatus.from_proto(message.sessions) if message.HasField("sessions") else None,
        }
    )


def sessions(message: sessions_pb2.ListSessionsResponse) -> tuple[SessionInfo, ...]:
    """The answer of ListSessions."""
    return tuple(_session(item) for item in message.sessions)


def session(message: sessions_pb2.GetSessionResponse) -> Session:
    """The answer of GetSession."""
    said = tuple(Message(item.role, item.content) for item in message.messages)
    return Session(_session(message.session), said, tuple(Turn.from_proto(item) for item in message.turns))


def changed_session(message: _ChangedSession) -> SessionInfo:
    """The answer of ForkSession, RewindSession and ImportSession."""
    return _session(message.session)


def _session(message: sessions_pb2.Session) -> SessionInfo:
    times = {name: getattr(message, name).ToDatetime(UTC) for name in ("created", "last_used", "expires")}
    return SessionInfo(**_scalars(SessionInfo, message) | times)


def _started(message: inference_pb2.Started) -> Started:
    tier = _enum(CacheTier, inference_pb2.CacheTier, message.cache_tier)
    miss = _enum(CacheMiss, inference_pb2.CacheMiss, message.cache_miss)
    return Started(**_scalars(Started, message) | {"cache_tier": tier, "cache_miss": miss})


def _token(message: inference_pb2.Token) -> Token:
    return Token(message.text, tuple(message.ids), tuple(_logprobs(item) for item in message.logprobs))


def _logprobs(message: inference_pb2.TokenLogprobs) -> TokenLogprobs:
    top = tuple(Logprob.from_proto(item) for item in message.top)
    return TokenLogprobs(Logprob.from_proto(message.chosen), top)


def _finished(message: inference_pb2.Finished) -> Finished:
    return Finished(
        reason=_enum(FinishReason, inference_pb2.FinishReason, message.reason),
        usage=Usage.from_proto(message.usage),
        timings=Timings.from_proto(message.timings),
        stop=message.stop,
        error_code=message.error_code,
        error_message=message.error_message,
    )


def _model(message: models_pb2.Model) -> ModelInfo:
    state = _enum(ModelState, models_pb2.ModelState, message.state)
    return ModelInfo(**_scalars(ModelInfo, message) | {"state": state})


def _scalars(kind: type, message: Any) -> dict[str, Any]:
    return {item.name: getattr(message, item.name) for item in fields(kind)}


def _enum(kind: Any, numbers: Any, number: int) -> Any:
    """FINISH_REASON_STOP becomes FinishReason.STOP; a number from a newer daemon becomes UNSPECIFIED."""
    if number not in numbers.values():
        return kind.UNSPECIFIED
    prefix = numbers.Name(0).removesuffix("UNSPECIFIED")
    return kind[numbers.Name(number).removeprefix(prefix)]
