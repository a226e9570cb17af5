"""When a call is tried again, and after how long."""

import pytest

from openglm import (
    NO_RETRIES,
    CapacityError,
    DaemonNotRunningError,
    DeadlineExceededError,
    EngineFailedError,
    InvalidArgumentError,
    OpenGLMError,
    QueueFullError,
    RetryPolicy,
    UnavailableError,
)
from openglm._details import ErrorDetails
from openglm._retry import Attempts


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Read it."""
        return self.now


def full(seconds: float) -> QueueFullError:
    """A refusal that asks for a wait."""
    return QueueFullError("full", ErrorDetails(retry_after=seconds))


def test_the_asked_delay_is_never_undercut() -> None:
    """Jitter only adds to what the daemon asked for, a quarter at most."""
    assert Attempts(RetryPolicy(jitter=lambda: 0.0), None).delay_after(full(2.0)) == 2.0
    assert Attempts(RetryPolicy(jitter=lambda: 1.0), None).delay_after(full(2.0)) == 2.5


def test_without_a_delay_waits_double() -> None:
    """Backoff grows from the first delay, up to the longest."""
    policy = RetryPolicy(attempts=5, first_delay_seconds=0.5, longest_delay_seconds=1.5, jitter=lambda: 0.0)
    attempts = Attempts(policy, None)
    assert [attempts.delay_after(UnavailableError("x")) for _ in range(4)] == [0.5, 1.0, 1.5, 1.5]


def test_jitter_spreads_waits_downward() -> None:
    """Up to half of a wait that nobody asked for may fall away."""
    policy = RetryPolicy(first_delay_seconds=1.0, jitter=lambda: 1.0)
    assert Attempts(policy, None).delay_after(UnavailableError("x")) == 0.5


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgumentError("x"),
        CapacityError("no RetryInfo came with it"),
        EngineFailedError("the request may have broken it"),
        DeadlineExceededError("x"),
    ],
)
def test_what_will_not_pass_is_raised_at_once(error: OpenGLMError) -> None:
    """Only passing refusals are worth a second try."""
    with pytest.raises(type(error)):
        Attempts(RetryPolicy(), None).delay_after(error)


def test_no_retries_means_one_try() -> None:
    """The first refusal is the last."""
    with pytest.raises(DaemonNotRunningError):
        Attempts(NO_RETRIES, None).delay_after(DaemonNotRunningError("x"))


def test_a_longer_wait_than_allowed_is_left_to_the_caller() -> None:
    """A daemon that asks for minutes is not waited for in silence."""
    with pytest.raises(QueueFullError):
        Attempts(RetryPolicy(longest_delay_seconds=30), None).delay_after(full(31))


def test_the_timeout_spans_all_tries() -> None:
    """What is left for the next try shrinks with the clock, and is never negative."""
    clock = Clock()
    attempts = Attempts(RetryPolicy(clock=clock), 10.0)
    clock.now += 4
    assert attempts.remaining() == 6.0
    clock.now += 40
    assert attempts.remaining() == 0.0


def test_a_wait_past_the_timeout_is_not_begun() -> None:
    """The deadline's error is raised right away, and says what stood behind it."""
    attempts = Attempts(RetryPolicy(clock=Clock(), jitter=lambda: 0.0), 1.0)
    with pytest.raises(DeadlineExceededError, match="full"):
        attempts.delay_after(full(2.0))


def test_without_a_timeout_there_is_no_limit() -> None:
    """None is passed on to gRPC as it is."""
    assert Attempts(RetryPolicy(), None).remaining() is None


@pytest.mark.parametrize("seconds", [9e9, 1e12, 1e30])
def test_a_timeout_beyond_what_grpc_can_count_is_a_very_long_one(seconds: float) -> None:
    """Its nanoseconds would overflow, and the call be over before it began."""
    remaining = Attempts(RetryPolicy(clock=lambda: 0.0), seconds).remaining()
    assert remaining is not None
    assert 1e8 < remaining < 7e9
