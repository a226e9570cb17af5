"""When to try again, and after how long. No I/O and no sleeping: the clients do that."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from openglm._errors import DaemonNotRunningError, DeadlineExceededError, ModelNotReadyError, OpenGLMError

# Between two tries while a model is loading, or the daemon away: it takes seconds, and each try is small.
_LONGEST_PAUSE_SECONDS = 1.0
# gRPC counts a deadline in nanoseconds of 64 bits: what lies beyond the year 2262 would have passed already.
_LONGEST_TIMEOUT_SECONDS = 1e9


def _say_nothing(_error: OpenGLMError, _seconds: float) -> None:
    """Nobody wants to know of a wait."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call that was refused before it began is tried again, and how long a broken answer is taken up again.

    Of refusals, only what the daemon marks as passing is retried: RESOURCE_EXHAUSTED with RetryInfo, and UNAVAILABLE;
    and a daemon that is not there. An answer whose connection or daemon is lost goes on where it was, as soon as the
    daemon is back. Questions that change nothing are asked again over a broken connection, too.

    Attributes:
        attempts: tries in all; 1 switches all of this off. Also how often an answer may be lost without another token.
        first_delay_seconds: the wait after the first failure that names none; it doubles with each.
        longest_delay_seconds: the longest wait; if the daemon asks for more, its error is raised instead.
        loading_seconds: how long a model that is being loaded or prepared is waited for; these tries are not counted.
        resume_seconds: how long the daemon of a broken answer is waited for; 0: not at all, and nothing is taken up.
        before_wait: told the error and the seconds, before each wait.
        jitter: draws from [0, 1).
        clock: monotonic seconds.
    """

    attempts: int = 4
    first_delay_seconds: float = 0.1
    longest_delay_seconds: float = 30.0
    loading_seconds: float = 30.0
    resume_seconds: float = 60.0
    before_wait: Callable[[OpenGLMError, float], object] = _say_nothing
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic

    @property
    def resumes(self) -> bool:
        """Whether broken answers are taken up again."""
        return self.attempts > 1 and self.resume_seconds > 0


NO_RETRIES = RetryPolicy(attempts=1, resume_seconds=0)


def surely_not_run(error: OpenGLMError) -> bool:
    """Whether the daemon said no in its own words, or was never reached.

    Where a connection broke, the prompt may be running: a second one would cost twice, and meet its own request id.
    """
    said_no = bool(error.details.code) or error.retry_after is not None
    return said_no or isinstance(error, DaemonNotRunningError)


class Attempts:
    """The tries of one call. Mutable: owned by that call."""

    def __init__(self, policy: RetryPolicy, timeout: float | None) -> None:
        self.policy = policy
        timeout = None if timeout is None else min(timeout, _LONGEST_TIMEOUT_SECONDS)
        self._timeout = timeout
        self._deadline = None if timeout is None else policy.clock() + timeout
        self._failed = 0
        self._refused_loading = 0
        self._waited_loading = 0.0

    def remaining(self) -> float | None:
        """Seconds left of the timeout, for the next try; `None` for no limit."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - self.policy.clock())

    def delay_after(self, error: OpenGLMError) -> float:
        """Seconds to wait before the next try.

        Raises:
            OpenGLMError: `error` itself, where another try is of no use or not allowed.
            DeadlineExceededError: the timeout would pass while waiting.
        """
        if isinstance(error, ModelNotReadyError) and error.is_loading and self.policy.attempts > 1:
            return self._delay_while_loading(error)
        self._failed += 1
        if not error.retryable or self._failed >= self.policy.attempts:
            raise error
        delay = self._delay(error.retry_after, self._failed)
        if delay > self.policy.longest_delay_seconds:
            raise error
        return self._within_timeout(delay, error)

    def delay_while_away(self, error: OpenGLMError, tries: int) -> float:
        """Seconds to wait before the daemon of a broken answer is asked again, after so many `tries`.

        Raises:
            DeadlineExceededError: the timeout would pass while waiting.
        """
        delay = self._delay(error.retry_after, tries)
        return self._within_timeout(delay if error.retry_after else min(delay, _LONGEST_PAUSE_SECONDS), error)

    def _delay_while_loading(self, error: OpenGLMError) -> float:
        if self._waited_loading >= self.policy.loading_seconds:
            raise error
        self._refused_loading += 1
        delay = min(self._delay(error.retry_after, self._refused_loading), _LONGEST_PAUSE_SECONDS)
        self._waited_loading += delay
        return self._within_timeout(delay, error)

    def _within_timeout(self, delay: float, error: OpenGLMError) -> float:
        remaining = self.remaining()
        if remaining is not None and delay >= remaining:
            message = f"The timeout of {self._timeout:g} s leaves no room for another try. {error.message}"
            raise DeadlineExceededError(message) from error
        self.policy.before_wait(error, delay)
        return delay

    def _delay(self, asked: float | None, refusals: int) -> float:
        """Never less than asked for; up to a quarter more, so that many clients do not come back at once."""
        if asked is not None:
            return asked * (1 + 0.25 * self.policy.jitter())
        whole: float = self.policy.first_delay_seconds * 2 ** (refusals - 1)
        return min(whole, self.policy.longest_delay_seconds) * (1 - 0.5 * self.policy.jitter())
