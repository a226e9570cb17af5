"""The error tree. Each class has a stable code; `edge/status.py` maps each to a gRPC status.

AutoglmError
├── RequestError                 the request cannot be served as it stands
│   ├── InvalidArgumentError     a field is out of its range; names the field
│   ├── PromptTooLongError       the prompt does not fit the context; carries the counts
│   ├── ModelNotFoundError       no such model is served; carries the known names
│   ├── RequestIdInUseError      a running request has this id
│   ├── SessionBusyError         a running request has this session
│   ├── SessionNotFoundError     the caller has no session of this name
│   └── NotSupportedError        this daemon does not do that
├── CapacityError
│   └── QueueFullError           the line is full; says when to come back
├── UnavailableError
│   ├── ModelNotReadyError       loading or preparing; carries which
│   │   └── ModelFailedError     could not be loaded; carries why
│   ├── DrainingError            the daemon is stopping
│   └── EngineFailedError        a step raised; its sequences end, the daemon goes on
├── ModelError                   a bundle on disk cannot be used
│   ├── ModelMissingError        a folder or file is not there
│   ├── ModelCorruptError        a file is there and broken
│   ├── ModelUnsupportedError    whole, but not something we can run
│   ├── TokenizerError           the tokenizer is missing, broken, or another model's
│   └── DeviceUnavailableError   the device asked for is not there, and no fall-back was allowed
├── SessionError                 a conversation on disk cannot be used
│   └── SessionNewerError        a newer autoglmd wrote it
├── ConfigError                  the configuration is wrong; names key, value and remedy
└── HostError                    the box refused: a socket in use, a folder not writable
    └── SocketInUseError
"""

from pathlib import Path
from typing import ClassVar


class AutoglmError(Exception):
    """Base of all errors that autoglmd raises on purpose.

    Attributes:
        code: stable name for programs; never reused for something else.
        message: one or two sentences: what happened, with the numbers, and what to do.
    """

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(AutoglmError):
    """The request cannot be served as it stands; sending it again changes nothing."""

    code = "BAD_REQUEST"


class InvalidArgumentError(RequestError):
    """A field is missing or out of its range."""

    code = "INVALID_ARGUMENT"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.description = message


class PromptTooLongError(RequestError):
    """Prompt (and room for output) do not fit; nothing is ever truncated silently."""

    code = "PROMPT_TOO_LONG"

    def __init__(
        self, prompt_tokens: int, output_tokens: int, limit_tokens: int, what: str, *, counted: bool = True
    ) -> None:
        """`prompt_tokens` is a lower bound where they were not `counted` to the end; no output is asked for by 0."""
        asks = f" and asks for {output_tokens} more" if output_tokens else ""
        remedy = "Shorten the prompt or lower max_tokens." if output_tokens else "Shorten the prompt."
        super().__init__(
            f"The prompt has {'' if counted else 'at least '}{prompt_tokens} tokens{asks}; "
            f"{what} is {limit_tokens} tokens. {remedy}"
        )
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.limit_tokens = limit_tokens
        self.counted = counted


class ModelNotFoundError(RequestError):
    """No model of that name is served here. `known` are those that are."""

    code = "MODEL_NOT_FOUND"

    def __init__(self, name: str, known: tuple[str, ...], why: str = "") -> None:
        known_names = ", ".join(known) or "none"
        super().__init__(f"{why or f'No model named {name!r} is served here.'} Served: {known_names}.")
        self.name = name
        self.known = known


class RequestIdInUseError(RequestError):
    """A running request already has the id that the client chose."""

    code = "REQUEST_ID_IN_USE"

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request_id {request_id!r} belongs to a running request. Leave it empty to get a fresh one.")
        self.request_id = request_id


class SessionBusyError(RequestError):
    """A running request has the session, and the daemon lets nobody wait for it."""

    code = "SESSION_BUSY"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f'Session {session_id!r} is answering another request. Wait for its end, or set sessions.busy to "wait".'
        )
        self.session_id = session_id


class SessionNotFoundError(RequestError):
    """The caller has no session of that name; whether somebody else has is not told."""

    code = "SESSION_NOT_FOUND"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"There is no session {session_id!r}. `autoglmctl session list` shows what there is.")
        self.session_id = session_id


class NotSupportedError(RequestError):
    """Part of the contract that this daemon does not do."""

    code = "NOT_SUPPORTED"


class CapacityError(AutoglmError):
    """Too much is asked at once; the same request may succeed later."""

    code = "OVERLOADED"


class QueueFullError(CapacityError):
    """The admission line is full."""

    code = "QUEUE_FULL"

    def __init__(self, waiting: int, limit: int, retry_after_seconds: float) -> None:
        super().__init__(
            f"{waiting} requests are waiting and the line holds {limit}. Retry in {retry_after_seconds:.1f} s."
        )
        self.waiting = waiting
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(AutoglmError):
    """The daemon cannot serve this now."""

    code = "UNAVAILABLE"


class ModelNotReadyError(UnavailableError):
    """The model is known and not yet loaded: `state` is "loading" or "preparing", and that will pass."""

    code = "MODEL_NOT_READY"

    def __init__(self, name: str, state: str, reason: str) -> None:
        super().__init__(f"Model {name!r} is not ready: {reason}")
        self.name = name
        self.state = state
        self.reason = reason


class ModelFailedError(ModelNotReadyError):
    """The model is known and could not be loaded (`state` "failed"): asking again is of no use until a restart."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, "failed", reason)


class DrainingError(UnavailableError):
    """The daemon is stopping: it takes no new work, and what is not done in time ends."""

    code = "DRAINING"

    def __init__(
        self, message: str = "The daemon is stopping and takes no new requests. Retry when it is back."
    ) -> None:
        super().__init__(message)


class EngineFailedError(UnavailableError):
    """A step raised. Only the sequences of that step end; the daemon keeps serving."""

    code = "ENGINE_FAILED"


class ModelError(AutoglmError):
    """A bundle on disk cannot be used."""

    code = "MODEL_INVALID"


class ModelMissingError(ModelError):
    """A model folder, or a file in it, is not there."""

    code = "MODEL_MISSING"


class ModelCorruptError(ModelError):
    """A file of the bundle is there and broken."""

    code = "MODEL_CORRUPT"


class ModelUnsupportedError(ModelError):
    """The bundle is whole, but its graph is not one that we can run."""

    code = "MODEL_UNSUPPORTED"


class TokenizerError(ModelError):
    """The tokenizer is missing, broken, or belongs to another model."""

    code = "TOKENIZER_INVALID"


class DeviceUnavailableError(ModelError):
    """The device asked for is not there, and no fall-back was allowed."""

    code = "DEVICE_UNAVAILABLE"


class SessionError(AutoglmError):
    """A conversation on disk cannot be used."""

    code = "SESSION_INVALID"


class SessionNewerError(SessionError):
    """A newer autoglmd wrote this conversation; what this one would write behind it might break it."""

    code = "SESSION_NEWER"

    def __init__(self, path: Path, version: int, known: int) -> None:
        super().__init__(
            f"{path} has records of version {version}, and this autoglmd knows {known} at most. Install the newer one "
            "again, or delete the session."
        )


class ConfigError(AutoglmError):
    """The configuration is wrong."""

    code = "CONFIG_INVALID"


class HostError(AutoglmError):
    """The box refused something that the daemon needs."""

    code = "HOST_REFUSED"


class SocketInUseError(HostError):
    """Another process listens where we should."""

    code = "SOCKET_IN_USE"
