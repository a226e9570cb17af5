"""The errors that this library raises. The codes are the daemon's stable ones, the rest is ours.

OpenGLMError                      base; `code`, `message`, `remedy`, `retryable`
├── RequestError                  the request cannot be served as it stands
│   ├── InvalidArgumentError      a field is out of its range; `field` (also a ValueError)
│   ├── PromptTooLongError        `prompt_tokens`, `counted`, `output_tokens`, `limit_tokens`
│   ├── ModelNotFoundError        `name`, `known`
│   ├── RequestIdInUseError       `request_id`
│   ├── SessionBusyError          `session_id`; a running request has it
│   ├── SessionNotFoundError      `session_id`
│   ├── NotSupportedError         this daemon does not do that
│   └── MessageTooLargeError      more bytes than one message may have
├── CapacityError                 too much is asked at once; `retry_after`
│   └── QueueFullError            `waiting`, `limit`
├── UnavailableError              the daemon cannot serve this now; `retry_after`
│   ├── DaemonNotRunningError     nobody answers at the address (also a ConnectionError)
│   ├── ConnectionLostError       the connection broke under the call (also a ConnectionError)
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
│   └── SessionNewerError         a newer daemon wrote it
├── AccessDeniedError             the socket or the daemon refuses this identity (also a PermissionError)
├── DeadlineExceededError         the timeout passed (also a TimeoutError)
├── RequestCancelledError         the call was cancelled: on this side, or the answer by its request id
├── ClientClosedError             the client has been closed (also a RuntimeError)
├── DaemonStartError              AutoGLM's own daemon did not come up, or died; `log`
└── DaemonError                   the daemon failed in a way that has no class of its own
"""

from typing import ClassVar

from openglm._details import ErrorDetails

NO_DETAILS = ErrorDetails()
# An old daemon names no state; most likely it still loads.
_LOADING = ("loading", "preparing", "")


class OpenGLMError(Exception):
    """Base of all errors that this library raises on purpose.

    Attributes:
        code: stable name for programs.
        message: what happened, with the numbers.
        remedy: what to do, where this side knows it; empty where the message says it.
    """

    code: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, details: ErrorDetails = NO_DETAILS, *, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.message = message
        self.details = details
        self.remedy = remedy

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the daemon asks to be tried again, if it said so."""
        return self.details.retry_after

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed a little later."""
        return False


class RequestError(OpenGLMError):
    """The request cannot be served as it stands; sending it again changes nothing."""

    code = "BAD_REQUEST"


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


class SessionBusyError(RequestError):
    """A running request has the session, and the daemon lets nobody wait for it."""

    code = "SESSION_BUSY"

    @property
    def session_id(self) -> str:
        """The session in question."""
        return self.details.metadata.get("session_id", "")


class SessionNotFoundError(RequestError):
    """The caller has no session of that name."""

    code = "SESSION_NOT_FOUND"

    @property
    def session_id(self) -> str:
        """The name that was asked for."""
        return self.details.metadata.get("session_id", "")


class NotSupportedError(RequestError):
    """Part of the contract that this daemon does not do."""

    code = "NOT_SUPPORTED"


class MessageTooLargeError(RequestError):
    """The request or the answer has more bytes than one message may have."""

    code = "MESSAGE_TOO_LARGE"


class CapacityError(OpenGLMError):
    """Too much is asked at once; the same request may succeed later."""

    code = "OVERLOADED"

    @property
    def retryable(self) -> bool:
        """True where the daemon said when to come back."""
        return self.retry_after is not None


class QueueFullError(CapacityError):
    """The daemon's admission line is full."""

    code = "QUEUE_FULL"

    @property
    def waiting(self) -> int:
        """How many requests were waiting."""
        return self.details.number("waiting")

    @property
    def limit(self) -> int:
        """How many may wait."""
        return self.details.number("limit")


class UnavailableError(OpenGLMError):
    """The daemon cannot serve this now."""

    code = "UNAVAILABLE"

    @property
    def retryable(self) -> bool:
        """True: the state may pass."""
        return True


class DaemonNotRunningError(UnavailableError, ConnectionError):
    """Nobody answers at the address."""

    code = "DAEMON_NOT_RUNNING"


class ConnectionLostError(UnavailableError, ConnectionError):
    """The connection broke, or the stream ended before Finished came."""

    code = "CONNECTION_LOST"


class ModelNotReadyError(UnavailableError):
    """The model is known and not yet loaded."""

    code = "MODEL_NOT_READY"

    @property
    def name(self) -> str:
        """The model's name."""
        return self.details.metadata.get("name", "")

    @property
    def state(self) -> str:
        """What it does instead: "loading", "preparing" or "failed", as in ModelState; empty from an old daemon."""
        return self.details.metadata.get("state", "")

    @property
    def reason(self) -> str:
        """Why it is not ready, in a sentence."""
        return self.details.metadata.get("reason", "")

    @property
    def is_loading(self) -> bool:
        """Whether it will be ready by itself."""
        return self.state in _LOADING


class ModelFailedError(ModelNotReadyError):
    """The model is known and could not be loaded."""

    @property
    def is_loading(self) -> bool:
        """No."""
        return False

    @property
    def retryable(self) -> bool:
        """No: nothing changes until the daemon starts again."""
        return False


class DrainingError(UnavailableError):
    """The daemon is stopping and takes no new work."""

    code = "DRAINING"


class EngineFailedError(UnavailableError):
    """A step raised in the daemon's engine; the daemon goes on."""

    code = "ENGINE_FAILED"

    @property
    def retryable(self) -> bool:
        """No: the request may be what broke the step."""
        return False


class ModelError(OpenGLMError):
    """A bundle on the box cannot be used."""

    code = "MODEL_INVALID"


class ModelMissingError(ModelError):
    """A model folder, or a file in it, is not there."""

    code = "MODEL_MISSING"


class ModelCorruptError(ModelError):
    """A file of the bundle is there and broken."""

    code = "MODEL_CORRUPT"


class ModelUnsupportedError(ModelError):
    """The bundle is whole, but not one that the daemon can run."""

    code = "MODEL_UNSUPPORTED"


class TokenizerError(ModelError):
    """The tokenizer is missing, broken, or another model's."""

    code = "TOKENIZER_INVALID"


class DeviceUnavailableError(ModelError):
    """The device asked for is not there, and no fall-back was allowed."""

    code = "DEVICE_UNAVAILABLE"


class SessionError(OpenGLMError):
    """A conversation on the daemon's disk cannot be used."""

    code = "SESSION_INVALID"


class SessionNewerError(SessionError):
    """A newer daemon wrote this conversation, and this one leaves it alone."""

    code = "SESSION_NEWER"


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
