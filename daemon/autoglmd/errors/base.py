"""What all errors of the daemon are, and those of the box itself. The tree is drawn in `__init__.py`."""

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


class ConfigError(AutoglmError):
    """The configuration is wrong."""

    code = "CONFIG_INVALID"


class HostError(AutoglmError):
    """The box refused something that the daemon needs."""

    code = "HOST_REFUSED"


class SocketInUseError(HostError):
    """Another process listens where we should."""

    code = "SOCKET_IN_USE"
