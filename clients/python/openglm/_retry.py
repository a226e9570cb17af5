"""When to try again, and after how long. No I/O and no sleeping: the clients do that."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from openglm._errors import DeadlineExceededError, OpenGLMError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call that was refused before it began is tried again.

    Only what the daemon marks as passing is retried: RESOURCE_EXHAUSTED with RetryInfo, and UNAVAILABLE; and a daemon
    that is not there. Once a stream's first event has come, or its connection has broken, nothing is: the prompt may
    be running. Questions that change nothing are asked again over a broken connection, too.

    Attributes:
        attempts: tries in all; 1 switches retries off.
        first_delay_seconds: the wait after the first failure that names none; it doubles with each.
        longest_delay_seconds: the longest wait; if the daemon asks for more, its error is raised instead.
        jitter: draws from [0, 1).
        clock: monotonic seconds.
    """

    attempts: int = 4
    first_delay_seconds: float = 0.1
    longest_delay_seconds: float = 30.0
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic


NO_RETRIES = RetryPolicy(attempts=1)


class Attempts:
    """The tries of one call. Mutable: owned by that call."""

    def __init__(self, policy: RetryPolicy, timeout: float | None) -> None:
        self._policy = policy
        self._timeout = timeout
        self._deadline = None if timeout is None else policy.clock() + timeout
        self._failed = 0

    def remaining(self) -> float | None:
        """Seconds left of the timeout, for the next try; `None` for no limit."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - self._policy.clock())

    def delay_after(self, error: OpenGLMError) -> float:
        """Seconds to wait before the next try.

        Raises:
            OpenGLMError: `error` itself, where another try is of no use or not allowed.
            DeadlineExceededError: the timeout would pass while waiting.
        """
        self._failed += 1
        if not error.retryable or self._failed >= self._policy.attempts:
            raise error
        delay = self._delay(error.retry_after)
        if delay > self._policy.longest_delay_seconds:
            raise error
        remaining = self.remaining()
        if remaining is not None and delay >= remaining:
            message = f"The timeout of {self._timeout:g} s leaves no room for another try. {error.message}"
            raise DeadlineExceededError(message) from error
        return delay

    def _delay(self, asked: float | None) -> float:
        """Never less than asked for; up to a quarter more, so that many clients do not come back at once."""
        if asked is not None:
            return asked * (1 + 0.25 * self._policy.jitter())
        whole: float = self._policy.first_delay_seconds * 2 ** (self._failed - 1)
        return min(whole, self._policy.longest_delay_seconds) * (1 - 0.5 * self._policy.jitter())
