"""The kernel's clocks."""

from autoglmd.host.clock import Clock, SystemClock


def test_the_monotonic_clock_never_goes_back() -> None:
    """And both are in seconds."""
    clock: Clock = SystemClock()
    earlier = clock.monotonic()
    assert clock.monotonic() >= earlier
    assert clock.wall() > 1_700_000_000
