"""What all errors of this library are, and those of requests."""

from typing import ClassVar

from openglm._details import ErrorDetails

NO_DETAILS = ErrorDetails()


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
