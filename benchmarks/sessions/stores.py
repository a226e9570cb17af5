"""The daemon's own store of sessions, over a folder of ours."""

from __future__ import annotations

from pathlib import Path

from autoglmd.host.clock import SystemClock
from autoglmd.host.disk import Disk
from autoglmd.messages.sessions import PAGE_TOKENS
from autoglmd.sessions.expiry import SteadyClock
from autoglmd.sessions.quota import Bounds
from autoglmd.sessions.seal import Plain
from autoglmd.sessions.store import SessionStore

NO_BOUNDS = Bounds(disk_bytes=1 << 50, ttl_seconds=1e10)


def open_store(folder: Path, disk: Disk | None = None) -> SessionStore:
    """A store that keeps everything, as the daemon opens one."""
    return SessionStore(folder, NO_BOUNDS, disk or Disk(), SteadyClock(SystemClock()), Plain())


def page_cuts(tokens: int) -> tuple[int, ...]:
    """Where the daemon cuts the keys and values of a first prompt: whole pages before its last token, and the rest."""
    return (*range(0, tokens, PAGE_TOKENS), tokens)
