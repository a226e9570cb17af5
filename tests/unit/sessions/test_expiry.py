"""Clocks that jump remove nothing."""

from autoglmd.sessions.expiry import STEP_SECONDS, TRUST_SECONDS, SteadyClock

DAY = 86400.0
TTL = 30 * DAY
NEVER = float("-inf")


class TwoClocks:
    """A wall clock and a monotonic one, each moved by hand."""

    def __init__(self, wall: float) -> None:
        self.wall_now = wall
        self.monotonic_now = 5.0

    def wall(self) -> float:
        """Seconds, as set."""
        return self.wall_now

    def monotonic(self) -> float:
        """Seconds, as set."""
        return self.monotonic_now

    def run(self, seconds: float) -> None:
        """Let both run."""
        self.wall_now += seconds
        self.monotonic_now += seconds


def test_nothing_is_old_before_the_clock_has_run_for_a_day() -> None:
    """A box may have started with a wrong time."""
    clock = TwoClocks(1.7e9)
    steady = SteadyClock(clock)
    assert steady.oldest_kept(TTL) == NEVER
    clock.run(TRUST_SECONDS)
    assert steady.oldest_kept(TTL) == clock.wall() - TTL


def test_a_short_ttl_needs_no_longer_trust_than_itself() -> None:
    """Who keeps sessions for an hour need not wait for a day."""
    clock = TwoClocks(1.7e9)
    steady = SteadyClock(clock)
    clock.run(3600)
    assert steady.oldest_kept(3600) == clock.wall() - 3600


def test_a_clock_that_was_set_is_not_trusted_for_a_day() -> None:
    """From 1970 to today, or a year ahead, or back."""
    for step in (1.7e9, 365 * DAY, -365 * DAY, STEP_SECONDS + 1):
        clock = TwoClocks(1.0e9)
        steady = SteadyClock(clock)
        clock.run(2 * TRUST_SECONDS)
        clock.wall_now += step
        assert steady.oldest_kept(TTL) == NEVER
        clock.run(TRUST_SECONDS - 1)
        assert steady.oldest_kept(TTL) == NEVER
        clock.run(1)
        assert steady.oldest_kept(TTL) == clock.wall() - TTL


def test_a_clock_that_drifts_is_followed() -> None:
    """Half a minute in a day, day after day, is no step."""
    clock = TwoClocks(1.7e9)
    steady = SteadyClock(clock)
    for _ in range(30):
        clock.run(DAY)
        clock.wall_now += STEP_SECONDS / 2
        assert steady.now() == clock.wall()
    assert steady.oldest_kept(TTL) == clock.wall() - TTL
