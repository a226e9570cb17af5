"""Errors to gRPC statuses: one table, and google.rpc details with the reason, the numbers and the remedy."""

from collections.abc import Iterator, Mapping

from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from autoglmd.errors.availability import (
    CapacityError,
    DrainingError,
    EngineFailedError,
    ModelFailedError,
    ModelNotReadyError,
    QueueFullError,
    TransfersBusyError,
    UnavailableError,
)
from autoglmd.errors.base import AutoglmError, ConfigError, HostError, SocketInUseError
from autoglmd.errors.model import (
    DeviceUnavailableError,
    ModelCorruptError,
    ModelError,
    ModelMissingError,
    ModelUnsupportedError,
    TokenizerError,
)
from autoglmd.errors.request import (
    InvalidArgumentError,
    ModelNotFoundError,
    NotSupportedError,
    PromptTooLongError,
    RequestError,
    RequestIdInUseError,
)
from autoglmd.errors.session import (
    AnswerGoneError,
    AnswerNotFoundError,
    SessionBusyError,
    SessionError,
    SessionExistsError,
    SessionLockedError,
    SessionNewerError,
    SessionNotFoundError,
    TransferStalledError,
)

DOMAIN = "autoglmd"
# The status travels in HTTP/2 headers, of which gRPC's clients accept 8 KiB in all; the message is in there twice,
# once percent-encoded and once in the details.
TEXT_BYTES = 1024

# Every class of the tree has its own line: a test walks the tree.
STATUS_OF: Mapping[type[AutoglmError], int] = {
    AutoglmError: code_pb2.INTERNAL,
    RequestError: code_pb2.INVALID_ARGUMENT,
    InvalidArgumentError: code_pb2.INVALID_ARGUMENT,
    PromptTooLongError: code_pb2.OUT_OF_RANGE,
    ModelNotFoundError: code_pb2.NOT_FOUND,
    RequestIdInUseError: code_pb2.ALREADY_EXISTS,
    SessionBusyError: code_pb2.ABORTED,
    SessionNotFoundError: code_pb2.NOT_FOUND,
    SessionExistsError: code_pb2.ALREADY_EXISTS,
    TransferStalledError: code_pb2.DEADLINE_EXCEEDED,
    AnswerNotFoundError: code_pb2.NOT_FOUND,
    AnswerGoneError: code_pb2.FAILED_PRECONDITION,
    NotSupportedError: code_pb2.UNIMPLEMENTED,
    CapacityError: code_pb2.RESOURCE_EXHAUSTED,
    QueueFullError: code_pb2.RESOURCE_EXHAUSTED,
    TransfersBusyError: code_pb2.RESOURCE_EXHAUSTED,
    UnavailableError: code_pb2.UNAVAILABLE,
    ModelNotReadyError: code_pb2.UNAVAILABLE,
    # Not UNAVAILABLE, which generic clients send again unasked: it stays failed until the daemon starts again.
    ModelFailedError: code_pb2.FAILED_PRECONDITION,
    DrainingError: code_pb2.UNAVAILABLE,
    # Nor this: the request may be what broke the step.
    EngineFailedError: code_pb2.INTERNAL,
    ModelError: code_pb2.FAILED_PRECONDITION,
    ModelMissingError: code_pb2.FAILED_PRECONDITION,
    ModelCorruptError: code_pb2.FAILED_PRECONDITION,
    ModelUnsupportedError: code_pb2.FAILED_PRECONDITION,
    TokenizerError: code_pb2.FAILED_PRECONDITION,
    DeviceUnavailableError: code_pb2.FAILED_PRECONDITION,
    SessionError: code_pb2.DATA_LOSS,
    SessionNewerError: code_pb2.FAILED_PRECONDITION,
    SessionLockedError: code_pb2.FAILED_PRECONDITION,
    ConfigError: code_pb2.FAILED_PRECONDITION,
    HostError: code_pb2.FAILED_PRECONDITION,
    SocketInUseError: code_pb2.FAILED_PRECONDITION,
}


def status_of(error: AutoglmError) -> status_pb2.Status:
    """The status that a client gets for an error raised on purpose."""
    return _status(STATUS_OF[type(error)], error.code, error.message, list(_details(error)))


def status_of_unexpected(request_id: str, trace_id: str) -> status_pb2.Status:
    """The status for any other exception: nothing of its inside, but what finds it in the log."""
    info = error_details_pb2.RequestInfo(request_id=request_id or trace_id)
    message = f"Internal error. The daemon's log has the details under trace id {trace_id}."
    names = {"request_id": request_id, "trace_id": trace_id}
    return _status(code_pb2.INTERNAL, "INTERNAL", message, [_reason("INTERNAL", names), info])


def status_of_deadline() -> status_pb2.Status:
    """The status after a stream that its deadline ended."""
    reason = "DEADLINE_EXCEEDED"
    message = "The call's deadline passed before the answer was complete. Give it more time, or fewer max_tokens."
    return _status(code_pb2.DEADLINE_EXCEEDED, reason, message, [_reason(reason, {})])


def _status(code: int, reason: str, message: str, details: list[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=_bounded(message))
    for detail in details or [_reason(reason, {})]:
        status.details.add().Pack(detail)
    return status


def _details(error: AutoglmError) -> Iterator[Message]:
    yield _reason(error.code, _facts(error))
    if isinstance(error, InvalidArgumentError):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=_bounded(error.description), reason=error.code
        )
        yield error_details_pb2.BadRequest(field_violations=[violation])
    if isinstance(error, QueueFullError | TransfersBusyError):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after_seconds * 1e9))
        yield retry


def _reason(code: str, facts: Mapping[str, str]) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=code, domain=DOMAIN, metadata=facts)


def _facts(error: AutoglmError) -> dict[str, str]:
    """The error's numbers and names, under their attributes' names. Its sentences are in the message."""
    known = vars(error).items()
    return {
        name: _bounded(_fact(value))
        for name, value in known
        if name not in ("message", "description") and isinstance(value, int | float | str | tuple)
    }


def _fact(value: int | float | str | tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _bounded(text: str) -> str:
    """At most TEXT_BYTES of UTF-8, cut between characters."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= TEXT_BYTES:
        return encoded.decode()
    return encoded[: TEXT_BYTES - 3].decode("utf-8", "ignore") + "…"
