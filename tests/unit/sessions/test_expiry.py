"""Clocks that jump remove nothing."""

from dataclasses import replace
from pathlib import Path

from autoglmd.host.disk import Disk
from autoglmd.sessions.expiry import STEP_SECONDS, TRUST_SECONDS, SteadyClock
from autoglmd.sessions.log import Found
from autoglmd.sessions.store import Bounds, SessionStore
from tests.support.conversations import KEY, MODEL, empty, turn_after
from tests.support.seals import PLAIN
from tests.support.session_stores import save_turn

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


def test_a_clock_that_is_set_back_while_the_daemon_runs_removes_nothing(tmp_path: Path) -> None:
    """What was used in a year to come is found, and is not older for being used today."""
    clock = TwoClocks(1.9e9)
    clock_of_store = SteadyClock(clock)
    clock.run(2 * TRUST_SECONDS)
    store = SessionStore(tmp_path, Bounds(1 << 30, TTL), Disk(), clock_of_store, PLAIN)
    told = save_turn(store, replace(empty(), created=clock.wall(), last_used=clock.wall()), "one")
    clock.wall_now -= 300 * DAY
    assert store.tidy() == 0
    found = store.load(KEY, MODEL)
    assert isinstance(found, Found)
    turn, _ = turn_after(found.conversation, "two")
    later = found.conversation.after(replace(turn, at=clock.wall()))
    store.save(later)
    assert later.last_used == told.last_used
    clock.run(2 * TRUST_SECONDS)
    assert store.tidy() == 0
    assert [entry.session_id for entry in store.catalog.of(KEY.tenant)] == [KEY.session_id]
    # Years later it is old by any clock.
    clock.run(400 * DAY)
    assert store.tidy() == 1
    store.close()
