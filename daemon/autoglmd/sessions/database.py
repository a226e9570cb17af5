"""A SQLite database that is made again when it is broken, and whose every refusal is an OSError."""

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_BUSY_SECONDS = 5.0
# Primary codes; SQLite tells extended ones, whose low byte they are.
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# SQLite's memory that is shared through a file: on a full disk that cannot be made.
_NO_ROOM_TO_OPEN = (sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PRIVATE_FILE = 0o600


class DiskFullError(OSError):
    """There is no room on the disk, as the database needs also to remove something."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Statements that make what is missing, and their version. A database of another version is begun anew."""

    statements: str
    version: int


class Database:
    """Safe from any thread, one call at a time. Every method may raise OSError, whatever SQLite calls it."""

    def __init__(self, path: Path, schema: Schema, what: str, *, durable: bool = False) -> None:
        """Name the database; the first use opens it, or begins it anew.

        Args:
            path: its file, for its owner alone.
            schema: of its tables.
            what: its name in messages.
            durable: whether each commit outlives a power cut. Without, the last ones may not; none is torn either way.
        """
        self._lock = threading.Lock()
        self._path = path
        self._schema = schema
        self._what = what
        self._is_durable = durable
        self._synchronous = "FULL" if durable else "NORMAL"
        self._database: sqlite3.Connection | None = None
        self._is_closed = False
        self.times_begun = 0
        """How often it was begun anew: each time it must be filled again."""

    def close(self) -> None:
        """Close the database for good: a thread that comes late must not touch what may be another daemon's by then."""
        with self._lock:
            self._let_go()
            self._is_closed = True

    def wipe(self) -> None:
        """Empty the write-ahead log: what was removed from the database can be read there until it is used again."""
        with self.using() as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextlib.contextmanager
    def using(self) -> Iterator[sqlite3.Connection]:
        """The database, in a transaction. What is broken beyond use is removed, and the next call begins it anew."""
        with self._lock:
            if self._is_closed:
                raise OSError(f"{self._what} is closed")
            try:
                database = self._database = self._database or self._opened_somewhere()
                with database:
                    yield database
            except sqlite3.Error as error:
                if _is_of(_BROKEN, error):
                    self._remove(error)
                kind = DiskFullError if _is_of_full(error) else OSError
                raise kind(f"{self._what}: {error}") from error

    def _opened_somewhere(self) -> sqlite3.Connection:
        """On disk; where that takes nothing, in memory, unless commits have to outlive us: it is filled again."""
        try:
            return self._opened()
        except (sqlite3.OperationalError, OSError) as error:
            if self._is_durable or (isinstance(error, sqlite3.Error) and _is_of(_BUSY, error)):
                raise
            log.warning("%s cannot be opened and is kept in memory until the next start: %s", self._what, error)
        self.times_begun += 1
        database = sqlite3.connect(":memory:", check_same_thread=False)
        database.executescript(self._schema.statements)
        return database

    def _opened(self) -> sqlite3.Connection:
        for attempt in ("as it is", "anew"):
            self.times_begun += not self._path.exists()
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE_FILE))
            database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, check_same_thread=False)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                # What people said and deleted is not left in pages that nobody uses.
                database.execute("PRAGMA secure_delete = ON")
                database.execute(f"PRAGMA synchronous = {self._synchronous}")
                if self._is_of_this_version(database):
                    database.executescript(f"{self._schema.statements}; PRAGMA user_version = {self._schema.version};")
                    return database
            except sqlite3.Error as error:
                database.close()
                if attempt == "anew" or not _is_of(_BROKEN, error):
                    raise
                self._remove(error)
            else:
                database.close()
                self._remove("it is of another version")
        raise AssertionError("unreachable")

    def _is_of_this_version(self, database: sqlite3.Connection) -> bool:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        return not tables or version == self._schema.version

    def _remove(self, why: object) -> None:
        """Nothing is kept of it: whatever is deleted later would stay there."""
        log.warning("%s cannot be used and is made again: %s", self._what, why, extra={"path": str(self._path)})
        self._let_go()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _let_go(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None


def _is_of_full(error: sqlite3.Error) -> bool:
    return _is_of((sqlite3.SQLITE_FULL,), error) or getattr(error, "sqlite_errorcode", 0) in _NO_ROOM_TO_OPEN


def _is_of(codes: tuple[int, ...], error: sqlite3.Error) -> bool:
    # Some of the module's own errors have no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes
