"""The time for which the daemon of a broken answer is away."""

from openglm._details import ErrorDetails
from openglm._errors import (
    AccessDeniedError,
    ClientClosedError,
    ConnectionLostError,
    DaemonNotRunningError,
    DeadlineExceededError,
    DrainingError,
    ModelNotReadyError,
    OpenGLMError,
    RequestCancelledError,
    RequestIdInUseError,
    SessionBusyError,
    UnavailableError,
)
from openglm._retry import Attempts
from openglm._unreachable import connection_lost

# Before the daemon has noticed that its reader is gone, the request runs on; a socket is the daemon's own until it has
# been opened to its group.
_OF_THE_MOMENT = (RequestIdInUseError, SessionBusyError, AccessDeniedError)
# What somebody here wanted, or set.
_OWN_ENDS = (RequestCancelledError, DeadlineExceededError, ClientClosedError)


def is_broken(error: OpenGLMError) -> bool:
    """Whether the connection broke under a call. UNAVAILABLE without a code of the daemon's is gRPC's own word."""
    return isinstance(error, ConnectionLostError) or (type(error) is UnavailableError and not error.details.code)


def is_going(error: OpenGLMError) -> bool:
    """Whether the daemon is stopping, or was found gone or not yet ready again."""
    loading = isinstance(error, ModelNotReadyError) and error.is_loading
    return loading or type(error) is UnavailableError or isinstance(error, DrainingError | DaemonNotRunningError)


class Absence:
    """Counts what happens between an answer's loss and its next token. Mutable: owned by one stream."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._loss: OpenGLMError | None = None
        self._losses = 0
        self._was_back = False
        self._began = 0.0
        self._waited = 0.0
        self._tries = 0

    @property
    def lasts(self) -> bool:
        """Whether the answer is lost, for now."""
        return self._loss is not None

    def begin(self, loss: OpenGLMError) -> None:
        """The answer is lost, by that error."""
        self._loss, self._losses, self._was_back = loss, 0, True

    def daemon_is_back(self) -> None:
        """Something has come of it."""
        self._was_back = True

    def end(self) -> None:
        """The answer goes on."""
        self._loss = None

    def passes(self, error: OpenGLMError) -> bool:
        """Whether what the daemon, or nobody, said is a matter of time."""
        too_much = error.retry_after is not None
        return is_broken(error) or is_going(error) or too_much or isinstance(error, _OF_THE_MOMENT)

    def delay_after(self, error: OpenGLMError, tokens: int) -> float:
        """Seconds to wait before the next try; `tokens` of the answer have come.

        Raises:
            ConnectionLostError: it has taken too long, or the daemon seems to die of this answer.
            DeadlineExceededError: the timeout would pass while waiting.
        """
        policy = self._attempts.policy
        self._losses += self._was_back or is_broken(error)
        if self._was_back:
            self._was_back, self._began, self._waited, self._tries = False, policy.clock(), 0.0, 0
        if self._losses >= policy.attempts:
            raise self.given_up(f"It was lost {self._losses} times without another token.", tokens, error)
        if self._seconds() >= policy.resume_seconds:
            raise self.given_up(f"What happened last: {error.message}", tokens, error)
        self._tries += 1
        delay = self._attempts.delay_while_away(error, self._tries)
        self._waited += delay
        return delay

    def given_up(self, why: str, tokens: int, error: OpenGLMError) -> OpenGLMError:
        """The error that says what became of the answer; `error` is what happened last."""
        if isinstance(error, _OWN_ENDS) or self._loss is None:
            return error
        waited = round(self._seconds())
        # gRPC's own words are no sentence.
        loss = self._loss.message.rstrip(".")
        message = f"{loss}. {tokens} tokens of the answer had come. Given up after {waited} s. {why}"
        facts = self._loss.details.metadata | {"received_tokens": str(tokens), "waited_seconds": str(waited)}
        lost = connection_lost(message, ErrorDetails(metadata=facts))
        lost.__cause__ = error
        return lost

    def _seconds(self) -> float:
        """By the clock, or by what was waited, should the clock stand still."""
        return max(self._attempts.policy.clock() - self._began, self._waited)
