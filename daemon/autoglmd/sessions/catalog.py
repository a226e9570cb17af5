"""What sessions there are, without opening their files: a SQLite database beside them.

It is an index and can be made again from the files at any time: one that is missing or broken is set aside and begun
anew, and `SessionStore.reconcile` fills it. So its commits need not be durable one by one.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from autoglmd.messages import SessionKey

log = logging.getLogger(__name__)

_BUSY_SECONDS = 5.0
# Primary codes; SQLite tells extended ones, whose low byte they are.
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class Entry:
    """One session as the catalog knows it. Times in seconds since 1970.

    Attributes:
        file: the name of its file.
        model: the model's name.
        bytes: size of the file's whole records.
    """

    file: str
    tenant: str
    session_id: str
    model: str
    created: float
    last_used: float
    turns: int
    tokens: int
    bytes: int

    @property
    def key(self) -> SessionKey:
        """Whose it is, and what its owner calls it."""
        return SessionKey(self.tenant, self.session_id)


_COLUMNS = tuple(entry.name for entry in fields(Entry))
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS sessions ({", ".join(_COLUMNS)}, PRIMARY KEY (file)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_tenant ON sessions (tenant, last_used);
CREATE INDEX IF NOT EXISTS by_use ON sessions (last_used);
CREATE TABLE IF NOT EXISTS gone (file PRIMARY KEY, why, at) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS gone_by_time ON gone (at);
"""
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM sessions"  # noqa: S608 - our own column names
_PUT = f"INSERT OR REPLACE INTO sessions VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - as above


class Catalog:
    """Safe from any thread, one call at a time. Every method may raise OSError, whatever SQLite calls it."""

    def __init__(self, path: Path) -> None:
        """Name the database; the first call opens it, or begins it anew."""
        self._lock = threading.Lock()
        self._path = path
        self._database: sqlite3.Connection | None = None
        self.times_begun = 0
        """How often it was begun anew: each time it must be filled from the files."""

    def close(self) -> None:
        """Close the database; the next call opens it again."""
        with self._lock:
            self._let_go()

    def put(self, entry: Entry) -> None:
        """Add a session, or replace what is known of it."""
        with self._using() as database:
            database.execute("DELETE FROM gone WHERE file = ?", (entry.file,))
            database.execute(_PUT, astuple(entry))

    def forget(self, file: str, why: str = "", at: float = 0.0) -> None:
        """Drop a session; none of that name is fine. With a reason, `why_gone` knows it from then on."""
        with self._using() as database:
            database.execute("DELETE FROM sessions WHERE file = ?", (file,))
            if why:
                database.execute("INSERT OR REPLACE INTO gone VALUES (?, ?, ?)", (file, why, at))

    def why_gone(self, file: str) -> str:
        """The reason with which a session was dropped; empty if it was not, or nobody remembers."""
        with self._using() as database:
            row = database.execute("SELECT why FROM gone WHERE file = ?", (file,)).fetchone()
        return str(row[0]) if row else ""

    def forget_reasons(self, before: float) -> None:
        """Drop the reasons of whatever went before a time."""
        with self._using() as database:
            database.execute("DELETE FROM gone WHERE at < ?", (before,))

    def find(self, file: str) -> Entry | None:
        """The session with that file."""
        return next(iter(self._select("WHERE file = ?", file)), None)

    def of(self, tenant: str) -> tuple[Entry, ...]:
        """A tenant's sessions, the last used first."""
        return self._select("WHERE tenant = ? ORDER BY last_used DESC", tenant)

    def everything(self) -> tuple[Entry, ...]:
        """All sessions."""
        return self._select("")

    def longest_unused(self, count: int) -> tuple[Entry, ...]:
        """Some sessions, the longest unused first."""
        return self._select("ORDER BY last_used LIMIT ?", count)

    def total_bytes(self) -> int:
        """Bytes of all files."""
        with self._using() as database:
            row = database.execute("SELECT COALESCE(SUM(bytes), 0) FROM sessions").fetchone()
        return int(row[0])

    def _select(self, rest: str, *values: object) -> tuple[Entry, ...]:
        with self._using() as database:
            rows = database.execute(f"{_SELECT} {rest}", values).fetchall()
        return tuple(Entry(*row) for row in rows)

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The database, in a transaction. What is broken beyond use is set aside for the next call."""
        with self._lock:
            try:
                database = self._database = self._database or self._opened()
                with database:
                    yield database
            except sqlite3.Error as error:
                if error.sqlite_errorcode & 0xFF in _BROKEN:
                    self._set_aside(error)
                raise OSError(f"the catalog of sessions: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        for attempt in ("as it is", "anew"):
            self.times_begun += not self._path.exists()
            database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, check_same_thread=False)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = NORMAL")
                database.executescript(_SCHEMA)
            except sqlite3.Error as error:
                database.close()
                if attempt == "anew" or error.sqlite_errorcode & 0xFF not in _BROKEN:
                    raise
                self._set_aside(error)
            else:
                return database
        raise AssertionError("unreachable")

    def _set_aside(self, why: sqlite3.Error) -> None:
        log.warning("the catalog of sessions is broken and is made again: %s", why, extra={"path": str(self._path)})
        self._let_go()
        with contextlib.suppress(FileNotFoundError):
            self._path.replace(self._path.with_suffix(".broken"))
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _let_go(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None
