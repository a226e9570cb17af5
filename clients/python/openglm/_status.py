"""From a gRPC status to the error that says the same: one table, nothing else decides."""

import re

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from openglm import _errors as errors
from openglm._address import Address
from openglm._cancellation import CANCELLED_HERE
from openglm._details import ErrorDetails
from openglm._errors import OpenGLMError
from openglm._unreachable import connection_lost, not_running

_DETAILS_KEY = "grpc-status-details-bin"

_BY_CODE: dict[str, type[OpenGLMError]] = {
    kind.code: kind
    for kind in (
        errors.RequestError,
        errors.InvalidArgumentError,
        errors.PromptTooLongError,
        errors.ModelNotFoundError,
        errors.RequestIdInUseError,
        errors.NotSupportedError,
        errors.SessionBusyError,
        errors.SessionError,
        errors.SessionNewerError,
        errors.SessionLockedError,
        errors.SessionNotFoundError,
        errors.AnswerNotFoundError,
        errors.AnswerGoneError,
        errors.SessionExistsError,
        errors.TransferStalledError,
        errors.TransfersBusyError,
        errors.MessageTooLargeError,
        errors.CapacityError,
        errors.QueueFullError,
        errors.UnavailableError,
        errors.ModelNotReadyError,
        errors.DrainingError,
        errors.EngineFailedError,
        errors.ModelError,
        errors.ModelMissingError,
        errors.ModelCorruptError,
        errors.ModelUnsupportedError,
        errors.TokenizerError,
        errors.DeviceUnavailableError,
        errors.DeadlineExceededError,
        errors.DaemonError,
    )
}

# For a status that carries no code of ours: one from gRPC itself, or from a newer daemon.
_BY_STATUS: dict[grpc.StatusCode, type[OpenGLMError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgumentError,
    grpc.StatusCode.OUT_OF_RANGE: errors.PromptTooLongError,
    grpc.StatusCode.NOT_FOUND: errors.ModelNotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: errors.RequestIdInUseError,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotSupportedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.CapacityError,
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    grpc.StatusCode.CANCELLED: errors.RequestCancelledError,
    grpc.StatusCode.PERMISSION_DENIED: errors.AccessDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: errors.AccessDeniedError,
}

# gRPC has one code for all that happens to a connection, and tells apart in words only.
_NEVER_CONNECTED = ("failed to connect", "connect failed", "errors resolving", "handshake failed")
_BROKE = ("socket closed", "connection reset", "broken pipe", "goaway", "stream removed", "recvmsg", "transport")

_SIZES = re.compile(r"larger than max \((?P<bytes>\d+) vs\. (?P<limit>\d+)\)")
# What this side did itself, gRPC tells in words about its own inside.
_OWN_WORDS = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "The timeout passed before the answer was complete. "
    "Give it more time, or fewer max_tokens.",
    grpc.StatusCode.CANCELLED: CANCELLED_HERE,
}


def error_from_rpc(failure: grpc.RpcError, address: Address) -> OpenGLMError:
    """The typed error for a failed call, of either kind of client.

    `failure` has code(), details() and trailing_metadata(), as grpc.Call and grpc.aio.AioRpcError do.
    """
    message = failure.details() or "The daemon gave no reason."
    details = read_details(_packed_details(failure))
    kind = _BY_CODE.get(details.code)
    if kind is errors.ModelNotReadyError and details.metadata.get("state") == "failed":
        kind = errors.ModelFailedError
    if kind is not None:
        return kind(message, details)
    return _from_status(failure.code(), message, details, address)


def read_details(packed: bytes) -> ErrorDetails:
    """Unpack a google.rpc.Status: ErrorInfo, BadRequest and RetryInfo; whatever else is there is left alone."""
    status = status_pb2.Status()
    info, request, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    try:
        status.ParseFromString(packed)
        for detail in status.details:
            _ = detail.Unpack(info) or detail.Unpack(request) or detail.Unpack(retry)
    except DecodeError:
        return ErrorDetails()
    return ErrorDetails(
        code=info.reason,
        metadata=dict(info.metadata),
        fields=tuple(violation.field for violation in request.field_violations),
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )


def _packed_details(failure: grpc.RpcError) -> bytes:
    pairs = failure.trailing_metadata() or ()
    return next((bytes(value) for key, value in pairs if key == _DETAILS_KEY), b"")


def _from_status(status: grpc.StatusCode, message: str, details: ErrorDetails, address: Address) -> OpenGLMError:
    if status is grpc.StatusCode.UNAVAILABLE and _speaks_of(_NEVER_CONNECTED, message):
        return not_running(address, message)
    if status is grpc.StatusCode.UNAVAILABLE and _speaks_of(_BROKE, message):
        return connection_lost(f"The connection to {address} broke ({message}).", details)
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED and (sizes := _SIZES.search(message)):
        text = f"The message has {sizes['bytes']} bytes; at most {sizes['limit']} are taken."
        return errors.MessageTooLargeError(
            text, details, remedy="Send less at once, or raise server.max_message_bytes in the daemon's configuration."
        )
    own_words = _OWN_WORDS.get(status)
    if own_words is not None:
        return _BY_STATUS[status](own_words, details)
    return _BY_STATUS.get(status, errors.DaemonError)(message, details)


def _speaks_of(phrases: tuple[str, ...], message: str) -> bool:
    return any(phrase in message.lower() for phrase in phrases)
