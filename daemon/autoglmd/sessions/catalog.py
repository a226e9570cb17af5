"""What sessions there are, without opening their files: a SQLite database beside them.

It is an index and can be made again from the files at any time: one that is missing or broken is begun
anew, and `SessionStore.reconcile` fills it. So its commits need not be durable one by one.

Where conversations are encrypted, so is whose they are: `tenant` is blinded, and `session_id` is both names, sealed.
The rest can be read: how many there are, when they were used, of which model they are, how long.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from zlib_ng.zlib_ng import crc32

from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.database import Database, Schema
from autoglmd.sessions.seal import Seal

# Of its tables. One of another version is an index that must be made again.
_VERSION = 4
# Entries that are read at once where most likely few are wanted.
_PAGE = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One session as the catalog knows it. Times in seconds since 1970.

    Attributes:
        file: the name of its file.
        model: the model's name.
        cached_tokens: how many of the tokens have keys and values in the file.
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
    cached_tokens: int
    bytes: int

    @property
    def key(self) -> SessionKey:
        """Whose it is, and what its owner calls it."""
        return SessionKey(self.tenant, self.session_id)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant's sessions take: bytes of their files, and how many they are."""

    bytes: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is on disk, and what was removed since the start.

    Attributes:
        bytes: of the sessions' files.
    """

    sessions: int = 0
    bytes: int = 0
    expired: int = 0
    evicted: int = 0


# So many that one of them can be read, and so few that nobody waits long where none can.
_FEW = 3
_COLUMNS = tuple(entry.name for entry in fields(Entry))
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS sessions ({", ".join(_COLUMNS)}, sum, PRIMARY KEY (file)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_tenant ON sessions (tenant, last_used, file, bytes);
CREATE INDEX IF NOT EXISTS by_use ON sessions (last_used);
CREATE TABLE IF NOT EXISTS gone (file PRIMARY KEY, why, at) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS gone_by_time ON gone (at);
CREATE TABLE IF NOT EXISTS beginnings (digest, file, pages, PRIMARY KEY (digest, file)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS beginnings_by_file ON beginnings (file);
"""
_SELECT = f"SELECT {', '.join(_COLUMNS)}, sum FROM sessions"  # noqa: S608 - our own column names
_PUT = f"INSERT OR REPLACE INTO sessions VALUES ({', '.join('?' * len(_COLUMNS))}, ?)"  # noqa: S608 - as above


def _context(file: str) -> bytes:
    return b"catalog " + file.encode()


class Catalog(Database):
    """Safe from any thread, one call at a time. Every method may raise OSError, whatever SQLite calls it."""

    def __init__(self, path: Path, seal: Seal) -> None:
        """Name the database; the first call opens it, or begins it anew."""
        super().__init__(path, Schema(_SCHEMA, _VERSION), "the catalog of sessions")
        self._seal = seal

    def put(self, entry: Entry, beginnings: Mapping[int, bytes] | None = None) -> None:
        """Add a session, or replace what is known of it.

        Args:
            entry: the session.
            beginnings: digests of its first pages, by their number.
        """
        with self.using() as database:
            database.execute("DELETE FROM gone WHERE file = ?", (entry.file,))
            row = self._row(entry)
            database.execute(_PUT, (*row, _sum_of(row)))
            database.execute("DELETE FROM beginnings WHERE file = ?", (entry.file,))
            rows = [(self.page_name(digest), entry.file, pages) for pages, digest in (beginnings or {}).items()]
            database.executemany("INSERT INTO beginnings VALUES (?, ?, ?)", rows)

    def beginning_with(self, digest: bytes) -> tuple[str, ...]:
        """Files of sessions that begin with these pages, a few of them."""
        name = self.page_name(digest)
        with self.using() as database:
            rows = database.execute("SELECT file FROM beginnings WHERE digest = ? LIMIT ?", (name, _FEW)).fetchall()
        return tuple(str(row[0]) for row in rows)

    def first_pages(self) -> set[str]:
        """Names of the first page of every session that has one."""
        with self.using() as database:
            return {str(row[0]) for row in database.execute("SELECT digest FROM beginnings WHERE pages = 1")}

    def page_name(self, digest: bytes) -> str:
        """What a page is called here: who has the disk must not be able to try out what it may say."""
        return self._seal.blind(digest.hex())

    def forget(self, file: str, why: str = "", at: float = 0.0) -> None:
        """Drop a session; none of that name is fine. With a reason, `why_gone` knows it from then on."""
        with self.using() as database:
            database.execute("DELETE FROM sessions WHERE file = ?", (file,))
            database.execute("DELETE FROM beginnings WHERE file = ?", (file,))
            if why:
                database.execute("INSERT OR REPLACE INTO gone VALUES (?, ?, ?)", (file, why, at))

    def why_gone(self, file: str) -> str:
        """The reason with which a session was dropped; empty if it was not, or nobody remembers."""
        with self.using() as database:
            row = database.execute("SELECT why FROM gone WHERE file = ?", (file,)).fetchone()
        return str(row[0]) if row else ""

    def forget_reasons(self, before: float) -> None:
        """Drop the reasons of whatever went before a time."""
        with self.using() as database:
            database.execute("DELETE FROM gone WHERE at < ?", (before,))

    def find(self, file: str) -> Entry | None:
        """The session with that file."""
        return next(iter(self._select("WHERE file = ?", file)), None)

    def of(self, tenant: str) -> tuple[Entry, ...]:
        """A tenant's sessions, the last used first."""
        return self._select("WHERE tenant = ? ORDER BY last_used DESC", self._seal.blind(tenant))

    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        with self.using() as database:
            return dict(database.execute("SELECT file, bytes FROM sessions").fetchall())

    def everything(self) -> tuple[Entry, ...]:
        """All sessions."""
        return self._select("")

    def unused_since(self, before: float) -> tuple[Entry, ...]:
        """Sessions that were not used since a time, the longest unused first."""
        return self._select("WHERE last_used < ? ORDER BY last_used", before)

    def unused_of(self, tenant: str) -> Iterator[Entry]:
        """A tenant's sessions, the longest unused first; read as they are asked for. The tenant as `usage` has it."""
        last: tuple[float, str] = (float("-inf"), "")
        while page := self._select(
            "WHERE tenant = ? AND (last_used, file) > (?, ?) ORDER BY last_used, file LIMIT ?", tenant, *last, _PAGE
        ):
            yield from page
            last = (page[-1].last_used, page[-1].file)

    def usage(self) -> dict[str, Usage]:
        """What each tenant's sessions take."""
        with self.using() as database:
            rows = database.execute("SELECT tenant, SUM(bytes), COUNT(*) FROM sessions GROUP BY tenant").fetchall()
        return {tenant: Usage(int(size), int(count)) for tenant, size, count in rows}

    def _select(self, rest: str, *values: object) -> tuple[Entry, ...]:
        with self.using() as database:
            return tuple(map(self._entry, database.execute(f"{_SELECT} {rest}", values)))

    def _row(self, entry: Entry) -> tuple[Any, ...]:
        if not self._seal.hides:
            return astuple(entry)
        file, tenant, session_id, *rest = astuple(entry)
        sealed = self._seal.seal(json.dumps([tenant, session_id]).encode(), _context(file))
        return (file, self._seal.blind(tenant), sealed, *rest)

    def _entry(self, summed: tuple[Any, ...]) -> Entry:
        *row, total = summed
        if total != _sum_of(tuple(row)):
            # SQLite would not notice. What goes by an entry is removed for good, or shown to whom it says.
            raise _damage("an entry is not what was written")
        if not self._seal.hides:
            return Entry(*row)
        file, blinded, sealed, *rest = row
        names = self._seal.open(sealed, _context(file))
        tenant, session_id = json.loads(names) if names else ("", "")
        if self._seal.blind(tenant) != blinded:
            raise _damage("an entry does not open")
        return Entry(file, tenant, session_id, *rest)


def _sum_of(row: tuple[Any, ...]) -> int:
    return crc32(repr(row).encode())


def _damage(what: str) -> sqlite3.DatabaseError:
    """What is not to be believed is made again from the files."""
    damage = sqlite3.DatabaseError(what)
    damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return damage


def entry_of(file: str, conversation: Conversation, size: int, cached_tokens: int) -> Entry:
    """What the catalog is told of a conversation in a file of so many bytes."""
    return Entry(
        file=file,
        tenant=conversation.key.tenant,
        session_id=conversation.key.session_id,
        model=conversation.model.name,
        created=conversation.created,
        last_used=conversation.last_used,
        turns=conversation.turns,
        tokens=len(conversation.ids),
        cached_tokens=cached_tokens,
        bytes=size,
    )
