"""Stores for tests: over a folder, with a clock that has run for long."""

from pathlib import Path

from autoglmd.host.disk import Disk
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.expiry import TRUST_SECONDS, SteadyClock
from autoglmd.sessions.log import Found
from autoglmd.sessions.quota import Bounds
from autoglmd.sessions.seal import Seal
from autoglmd.sessions.store import SessionStore
from tests.support.conversations import KEY, MODEL, NOW, turn_after
from tests.support.fake_clock import FakeClock
from tests.support.seals import PLAIN

BOUNDS = Bounds(disk_bytes=1 << 30, ttl_seconds=3600)
SEAL: Seal = PLAIN
"""What stores are opened with unless they are told; `tests/unit/sessions/conftest.py` lets tests run with each."""
OPEN: list[SessionStore] = []
"""The one that `open_store` opened last, until it opens another."""


def steady_at(now: float) -> SteadyClock:
    """A clock that is trusted."""
    clock = FakeClock(now - 2 * TRUST_SECONDS)
    steady = SteadyClock(clock)
    clock.now = now
    return steady


def store_in(
    folder: Path, disk: Disk | None = None, bounds: Bounds = BOUNDS, now: float = NOW, seal: Seal | None = None
) -> SessionStore:
    """A store, to be closed before another takes the folder."""
    return SessionStore(folder, bounds, disk or Disk(), steady_at(now), seal or SEAL)


def open_store(
    folder: Path, disk: Disk | None = None, bounds: Bounds = BOUNDS, now: float = NOW, seal: Seal | None = None
) -> SessionStore:
    """A store over a folder, as a daemon opens it after the one before has ended."""
    while OPEN:
        OPEN.pop().close()
    OPEN.append(store_in(folder, disk, bounds, now, seal))
    return OPEN[-1]


def save_turn(store: SessionStore, told: Conversation, text: str) -> Conversation:
    """Save one more turn."""
    turn, block = turn_after(told, text)
    after = told.after(turn).having(block)
    store.save(after)
    return after


def file_of(folder: Path) -> Path:
    """The one session's file."""
    (path,) = folder.glob("*/*.session")
    return path


def loaded(folder: Path) -> Conversation | None:
    """What a daemon that starts now finds."""
    found = open_store(folder).load(KEY, MODEL)
    return found.conversation if isinstance(found, Found) else None
