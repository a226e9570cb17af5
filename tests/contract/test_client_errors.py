"""The daemon's error table and the client's, held against each other through real statuses."""

import inspect
import re
from pathlib import Path

import grpc
import pytest
from google.rpc import status_pb2
from grpc_status import rpc_status

import openglm
from autoglmd.edge.status import STATUS_OF, status_of, status_of_deadline, status_of_unexpected
from autoglmd.errors.availability import (
    DrainingError,
    ModelFailedError,
    ModelNotReadyError,
    QueueFullError,
    TransfersBusyError,
)
from autoglmd.errors.base import AutoglmError, ConfigError, HostError, SocketInUseError
from autoglmd.errors.request import InvalidArgumentError, ModelNotFoundError, PromptTooLongError, RequestIdInUseError
from autoglmd.errors.session import (
    AnswerGoneError,
    AnswerNotFoundError,
    SessionBusyError,
    SessionExistsError,
    SessionLockedError,
    SessionNewerError,
    SessionNotFoundError,
    TransferStalledError,
)
from openglm._address import parse_address
from openglm._status import error_from_rpc, read_details

ADDRESS = parse_address("/run/autoglmd/autoglmd.sock")

SAMPLES: list[AutoglmError] = [
    InvalidArgumentError("sampling.top_p", "must be in (0, 1], not 3."),
    PromptTooLongError(9000, 100, 4096, "the context"),
    ModelNotFoundError("nope", ("glm-small", "glm-base")),
    RequestIdInUseError("r1"),
    SessionBusyError("home"),
    SessionNotFoundError("home"),
    SessionExistsError("home"),
    TransferStalledError(60.0),
    TransfersBusyError(4),
    AnswerNotFoundError("home", "r1"),
    AnswerGoneError("home", "r1", "the model has changed"),
    SessionNewerError(Path("home.session"), 2, 1),
    SessionLockedError(Path("home.session"), has_key=False),
    QueueFullError(9, 8, 2.5),
    ModelNotReadyError("glm-small", "loading", "it is loading."),
    ModelFailedError("glm-small", "its weights are broken."),
    DrainingError(),
]

# Errors of starting and configuring, which no answer carries.
NOT_FOR_CLIENTS = (AutoglmError, ConfigError, HostError, SocketInUseError)
FOR_CLIENTS = [kind for kind in STATUS_OF if kind not in NOT_FOR_CLIENTS]


class Failure(grpc.RpcError):  # type: ignore[misc]  # grpc ships no types
    """A failed call that says what a gRPC status says."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__()
        self._status = rpc_status.to_status(status)

    def code(self) -> grpc.StatusCode:
        """As grpc.Call."""
        return self._status.code

    def details(self) -> str:
        """As grpc.Call."""
        return str(self._status.details)

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        """As grpc.Call."""
        return tuple(self._status.trailing_metadata)


class Bare(grpc.RpcError):  # type: ignore[misc]  # grpc ships no types
    """A failed call with gRPC's own words and no details."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__()
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        """As grpc.Call."""
        return self._code

    def details(self) -> str:
        """As grpc.Call."""
        return self._details

    def trailing_metadata(self) -> None:
        """As grpc.Call, where nothing came."""


def through_the_wire(error: AutoglmError) -> openglm.OpenGLMError:
    """What the client makes of the daemon's error."""
    return error_from_rpc(Failure(status_of(error)), ADDRESS)


@pytest.mark.parametrize(
    "kind", [kind for kind in STATUS_OF if kind not in NOT_FOR_CLIENTS], ids=lambda kind: kind.__name__
)
def test_every_daemon_error_has_a_client_class_of_the_same_name_and_code(kind: type[AutoglmError]) -> None:
    """The client mirrors the daemon's tree: an error that is new there must be added here."""
    mirror = getattr(openglm, kind.__name__)
    assert mirror.code == kind.code
    error = next((sample for sample in SAMPLES if type(sample) is kind), None)
    if error is None and "message" in inspect.signature(kind).parameters:
        error = kind("It broke.")
    assert error is not None, "give this error a sample"
    assert type(through_the_wire(error)) is mirror


def test_the_numbers_survive_the_wire() -> None:
    """Counts and delays arrive as numbers, under the names that the client's properties read."""
    full = through_the_wire(QueueFullError(9, 8, 2.5))
    assert isinstance(full, openglm.QueueFullError)
    assert (full.waiting, full.limit, full.retry_after, full.retryable) == (9, 8, 2.5, True)
    long = through_the_wire(PromptTooLongError(9000, 100, 4096, "the context"))
    assert isinstance(long, openglm.PromptTooLongError)
    assert (long.prompt_tokens, long.output_tokens, long.limit_tokens) == (9000, 100, 4096)


def test_the_names_survive_the_wire() -> None:
    """Fields, models and request ids arrive as text."""
    bad = through_the_wire(InvalidArgumentError("sampling.top_p", "must be in (0, 1], not 3."))
    assert isinstance(bad, openglm.InvalidArgumentError)
    assert bad.field == "sampling.top_p"
    unknown = through_the_wire(ModelNotFoundError("nope", ("glm-small", "glm-base")))
    assert isinstance(unknown, openglm.ModelNotFoundError)
    assert (unknown.name, unknown.known) == ("nope", ("glm-small", "glm-base"))
    used = through_the_wire(RequestIdInUseError("r1"))
    assert isinstance(used, openglm.RequestIdInUseError)
    assert used.request_id == "r1"


def test_the_message_is_the_daemons() -> None:
    """What happened, and what to do, in the daemon's own words."""
    assert through_the_wire(DrainingError()).message == DrainingError().message


def test_an_unexpected_failure_is_a_daemon_error() -> None:
    """A bug in the daemon is neither retried nor mistaken for the caller's fault."""
    error = error_from_rpc(Failure(status_of_unexpected("r1", "t1")), ADDRESS)
    assert type(error) is openglm.DaemonError
    assert not error.retryable


def test_the_daemons_deadline_is_a_timeout() -> None:
    """Whichever side noticed it first."""
    assert isinstance(error_from_rpc(Failure(status_of_deadline()), ADDRESS), openglm.DeadlineExceededError)


TOO_LARGE = "SERVER: Received message larger than max (5000 vs. 4000)"


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses", openglm.DaemonNotRunningError),
        (grpc.StatusCode.UNAVAILABLE, "connect failed: Permission denied", openglm.AccessDeniedError),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", openglm.ConnectionLostError),
        (grpc.StatusCode.UNAVAILABLE, "later", openglm.UnavailableError),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "SERVER: Received message larger than max (5 vs. 4)",
            openglm.MessageTooLargeError,
        ),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "no", openglm.CapacityError),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", openglm.NotSupportedError),
        (grpc.StatusCode.PERMISSION_DENIED, "no", openglm.AccessDeniedError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", openglm.DeadlineExceededError),
        (grpc.StatusCode.CANCELLED, "Locally cancelled", openglm.RequestCancelledError),
        (grpc.StatusCode.DATA_LOSS, "odd", openglm.DaemonError),
    ],
)
def test_grpcs_own_statuses_have_their_classes(
    code: grpc.StatusCode, details: str, kind: type[openglm.OpenGLMError]
) -> None:
    """Failures that gRPC reports by itself carry no details; code and words decide."""
    assert type(error_from_rpc(Bare(code, details), ADDRESS)) is kind


def test_a_lost_connection_says_what_to_do() -> None:
    """The daemon cannot say it any more, so this side does."""
    error = error_from_rpc(Bare(grpc.StatusCode.UNAVAILABLE, "Socket closed"), ADDRESS)
    assert error.message == f"The connection to {ADDRESS} broke (Socket closed)."
    assert "autoglmctl status" in error.remedy


def test_the_sizes_of_a_message_too_large_are_said() -> None:
    """In our words, with gRPC's numbers."""
    failure = Bare(grpc.StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE)
    assert error_from_rpc(failure, ADDRESS).message == "The message has 5000 bytes; at most 4000 are taken."


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ("connect failed: Connection refused", "nobody listens there.*systemctl"),
        ("errors resolving x: Domain name not found", "not known.*systemctl"),
        ("failed to connect; Socket closed", "may want TLS.*--tls-cert"),
        ("failed to connect; CERTIFICATE_VERIFY_FAILED", "authority that we trust.*--tls-ca"),
        ("failed to connect; Hostname Verification Check failed", "another name.*--tls-name"),
    ],
)
def test_a_failed_connection_says_why_and_what_to_do(details: str, said: str) -> None:
    """As far as gRPC's words tell it."""
    error = error_from_rpc(Bare(grpc.StatusCode.UNAVAILABLE, details), ADDRESS)
    assert isinstance(error, openglm.DaemonNotRunningError)
    assert re.search(said, str(error))


def test_details_that_are_not_protobuf_are_ignored() -> None:
    """A broken trailer does not hide the status."""
    assert read_details(b"\xff\xff").code == ""
