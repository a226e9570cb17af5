"""The kernel's clock."""

from autoglmd.host.clock import Clock, SystemClock


def test_the_monotonic_clock_never_goes_back() -> None:
    """Deadlines stand on it."""
    clock: Clock = SystemClock()
    earlier = clock.monotonic()
    assert clock.monotonic() >= earlier
