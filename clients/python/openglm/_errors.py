"""The errors that this library raises. The codes are the daemon's stable ones, the rest is ours.

OpenGLMError                      base; `code`, `message`, `remedy`, `retryable`
├── RequestError                  the request cannot be served as it stands
│   ├── InvalidArgumentError      a field is out of its range; `field` (also a ValueError)
│   ├── PromptTooLongError        `prompt_tokens`, `counted`, `output_tokens`, `limit_tokens`
│   ├── ModelNotFoundError        `name`, `known`
│   ├── RequestIdInUseError       `request_id`
│   ├── SessionBusyError          `session_id`; a running request has it
│   ├── SessionNotFoundError      `session_id`
│   │   └── AnswerNotFoundError   or it has no such answer to take up; `request_id`
│   ├── AnswerGoneError           it has, and it can no longer be told as it was; `session_id`, `request_id`
│   ├── SessionExistsError        `session_id`
│   ├── TransferStalledError      a session's file was sent, or taken, too slowly
│   ├── NotSupportedError         this daemon does not do that
│   └── MessageTooLargeError      more bytes than one message may have
├── CapacityError                 too much is asked at once; `retry_after`
│   ├── QueueFullError            `waiting`, `limit`
│   └── TransfersBusyError        as many sessions are being exported and imported as may
├── UnavailableError              the daemon cannot serve this now; `retry_after`
│   ├── DaemonNotRunningError     nobody answers at the address (also a ConnectionError)
│   ├── ConnectionLostError       the connection broke for good; `received_tokens`, `waited_seconds` (a ConnectionError)
│   ├── ModelNotReadyError        loading or preparing; `name`, `state`, `reason`
│   │   └── ModelFailedError      it could not be loaded
│   ├── DrainingError             the daemon is stopping
│   └── EngineFailedError         a step raised
├── ModelError                    a bundle on the box cannot be used
│   ├── ModelMissingError
│   ├── ModelCorruptError
│   ├── ModelUnsupportedError
│   ├── TokenizerError
│   └── DeviceUnavailableError
├── SessionError                  a conversation on the daemon's disk cannot be used
│   ├── SessionNewerError         a newer daemon wrote it
│   └── SessionLockedError        it is encrypted and the daemon has no key, or the other way about
├── AccessDeniedError             the socket or the daemon refuses this identity (also a PermissionError)
├── DeadlineExceededError         the timeout passed (also a TimeoutError)
├── RequestCancelledError         the call was cancelled: on this side, or the answer by its request id
├── ClientClosedError             the client has been closed (also a RuntimeError)
├── DaemonStartError              AutoGLM's own daemon did not come up, or died; `log`
└── DaemonError                   the daemon failed in a way that has no class of its own
"""

from openglm._error import NO_DETAILS, OpenGLMError, RequestError
from openglm._model_errors import (
    DeviceUnavailableError,
    ModelCorruptError,
    ModelError,
    ModelMissingError,
    ModelUnsupportedError,
    TokenizerError,
)
from openglm._session_errors import (
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
from openglm._unavailable_errors import (
    CapacityError,
    ConnectionLostError,
    DaemonNotRunningError,
    DrainingError,
    EngineFailedError,
    ModelFailedError,
    ModelNotReadyError,
    QueueFullError,
    TransfersBusyError,
    UnavailableError,
)

__all__ = [
    "NO_DETAILS",
    "AccessDeniedError",
    "AnswerGoneError",
    "AnswerNotFoundError",
    "CapacityError",
    "ClientClosedError",
    "ConnectionLostError",
    "DaemonError",
    "DaemonNotRunningError",
    "DaemonStartError",
    "DeadlineExceededError",
    "DeviceUnavailableError",
    "DrainingError",
    "EngineFailedError",
    "InvalidArgumentError",
    "MessageTooLargeError",
    "ModelCorruptError",
    "ModelError",
    "ModelFailedError",
    "ModelMissingError",
    "ModelNotFoundError",
    "ModelNotReadyError",
    "ModelUnsupportedError",
    "NotSupportedError",
    "OpenGLMError",
    "PromptTooLongError",
    "QueueFullError",
    "RequestCancelledError",
    "RequestError",
    "RequestIdInUseError",
    "SessionBusyError",
    "SessionError",
    "SessionExistsError",
    "SessionLockedError",
    "SessionNewerError",
    "SessionNotFoundError",
    "TokenizerError",
    "TransferStalledError",
    "TransfersBusyError",
    "UnavailableError",
]


class InvalidArgumentError(RequestError, ValueError):
    """A field is missing or out of its range."""

    code = "INVALID_ARGUMENT"

    @property
    def field(self) -> str:
        """The (first) bad field's name, for example "sampling.temperature"; empty if it was not named."""
        return next(iter(self.details.fields), self.details.metadata.get("field", ""))


class PromptTooLongError(RequestError):
    """Prompt and room for output do not fit; nothing is ever truncated silently."""

    code = "PROMPT_TOO_LONG"

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the prompt has; so many at least where it was not `counted`."""
        return self.details.number("prompt_tokens")

    @property
    def counted(self) -> bool:
        """Whether the prompt's tokens were counted to the end; of a huge one the daemon knows enough before."""
        return self.details.metadata.get("counted", "true") == "true"

    @property
    def output_tokens(self) -> int:
        """How many more the request asked for."""
        return self.details.number("output_tokens")

    @property
    def limit_tokens(self) -> int:
        """How many there may be in all."""
        return self.details.number("limit_tokens")


class ModelNotFoundError(RequestError):
    """No model of that name is served there."""

    code = "MODEL_NOT_FOUND"

    @property
    def name(self) -> str:
        """The name that was asked for."""
        return self.details.metadata.get("name", "")

    @property
    def known(self) -> tuple[str, ...]:
        """The names that are served."""
        return tuple(name.strip() for name in self.details.metadata.get("known", "").split(",") if name.strip())


class RequestIdInUseError(RequestError):
    """A running request already has the id that was chosen."""

    code = "REQUEST_ID_IN_USE"

    @property
    def request_id(self) -> str:
        """The id in question."""
        return self.details.metadata.get("request_id", "")


class NotSupportedError(RequestError):
    """Part of the contract that this daemon does not do."""

    code = "NOT_SUPPORTED"


class MessageTooLargeError(RequestError):
    """The request or the answer has more bytes than one message may have."""

    code = "MESSAGE_TOO_LARGE"


class AccessDeniedError(OpenGLMError, PermissionError):
    """The socket's permissions, or the daemon, refuse this identity."""

    code = "ACCESS_DENIED"


class DeadlineExceededError(OpenGLMError, TimeoutError):
    """The timeout passed before the answer was whole."""

    code = "DEADLINE_EXCEEDED"


class RequestCancelledError(OpenGLMError):
    """The call was cancelled before it was done.

    On this side; or, where text alone is handed out, by whoever cancelled its request id.
    """

    code = "CANCELLED"


class ClientClosedError(OpenGLMError, RuntimeError):
    """The client has been closed; nothing was sent."""

    code = "CLIENT_CLOSED"


class DaemonStartError(OpenGLMError):
    """A daemon of our own did not come up, or has ended; `log` has the last lines that it wrote to stderr."""

    code = "DAEMON_START_FAILED"

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(f"{message}\n{log}".strip())
        self.log = log


class DaemonError(OpenGLMError):
    """The daemon failed in a way that has no class of its own."""

    code = "INTERNAL"
