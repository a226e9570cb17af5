"""Stores for tests: over a folder, with a clock that has run for long."""

from pathlib import Path

from autoglmd.host.disk import Disk
from autoglmd.sessions.expiry import TRUST_SECONDS, SteadyClock
from autoglmd.sessions.store import Bounds, SessionStore
from tests.support.conversations import NOW
from tests.support.fake_clock import FakeClock

BOUNDS = Bounds(disk_bytes=1 << 30, ttl_seconds=3600)


def steady_at(now: float) -> SteadyClock:
    """A clock that is trusted."""
    clock = FakeClock(now - 2 * TRUST_SECONDS)
    steady = SteadyClock(clock)
    clock.now = now
    return steady


def store_in(folder: Path, disk: Disk | None = None, bounds: Bounds = BOUNDS, now: float = NOW) -> SessionStore:
    """A store, to be closed before another takes the folder."""
    return SessionStore(folder, bounds, disk or Disk(), steady_at(now))
