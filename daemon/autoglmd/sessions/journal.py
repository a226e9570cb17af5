"""The journal of answers: of each session the last one, while it is given and for some time afterwards.

A SQLite database beside the sessions' files. Each commit is durable, and holds what all answers have drawn since the
last one. What it is for is in docs/decisions/resuming.md.
"""

import contextlib
import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from autoglmd.messages.generation import FinishReason
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.answer import MAX_DRAWN_TOKENS, Answer, packed, packed_ids, unpacked, unpacked_ids
from autoglmd.sessions.conversation import Turn
from autoglmd.sessions.database import Database, Schema
from autoglmd.sessions.journal_rows import Row, surplus
from autoglmd.sessions.log import turn_of
from autoglmd.sessions.seal import Seal
from autoglmd.sessions.summed import Summed

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 16 << 20
"""An answer whose prompt takes more is not journalled, and what claims to is not read."""
MOST_BYTES = 64 << 20
_VERSION = 3
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    file TEXT PRIMARY KEY, tenant TEXT, begun REAL, ended REAL, reason TEXT, size INTEGER, head BLOB,
    told_at REAL, turn BLOB
);
CREATE INDEX IF NOT EXISTS by_time ON answers (ended, begun, size);
CREATE TABLE IF NOT EXISTS drawn (file TEXT, start INTEGER, ids BLOB, PRIMARY KEY (file, start)) WITHOUT ROWID;
"""
# As Row.is_old has it.
_LOOK = """
SELECT TOTAL(size), TOTAL(CASE WHEN ended IS NULL THEN begun < ? ELSE ended < ? END) FROM answers INDEXED BY by_time
"""
_SELECT_ROWS = f"SELECT {', '.join(Row._fields)} FROM answers"  # noqa: S608 - our own column names


@dataclass(frozen=True, slots=True)
class Addition:
    """What is new of one answer.

    Attributes:
        file: the name of its session's file.
        begun: the answer, where the journal may not have it. What it had of an earlier one goes; of the same one, that
            is taken up, what the session was made to remember stays.
        start: place of `ids[0]` in the answer.
        ids: tokens that were drawn.
        end: how and when it ended, where that is new.
        turn: what the session was made to remember of it, where that is new.
    """

    file: str
    begun: Answer | None
    start: int
    ids: tuple[int, ...]
    end: tuple[FinishReason, float] | None = None
    turn: Turn | None = None


class Journal(Database):
    """Safe from any thread, one call at a time. Every method may raise OSError, whatever SQLite calls it."""

    def __init__(self, path: Path, seal: Seal, most_bytes: int = MOST_BYTES) -> None:
        """Name the database; the first call opens it, or begins it anew."""
        super().__init__(path, Schema(_SCHEMA, _VERSION), "the journal of answers", durable=True)
        # SQLite has no checksums, and another seed or token would be another text, told as the same.
        self._seal = Summed(seal)
        self._blind = seal.blind
        self._most_bytes = most_bytes

    def add(self, additions: Iterable[Addition]) -> None:
        """Take all of them, or none; when it returns, a power cut does not undo it."""
        with self.using() as database:
            for each in additions:
                self._add(database, each)

    def find(self, file: str, key: SessionKey) -> Answer | None:
        """A session's last answer; `None`: there is none, or none that can be read."""
        found = self._find(file)
        return found if found is not None and found.key == key else None

    def last_turns(self) -> Iterator[tuple[Answer, Turn]]:
        """Last answers of which something is remembered, with that; those that cannot be read are left out."""
        with self.using() as database:
            files = [file for (file,) in database.execute("SELECT file FROM answers WHERE turn IS NOT NULL")]
        for file in files:
            answer, turn = self._find(file), self.turn(file)
            if answer is not None and turn is not None:
                yield answer, turn

    def turn(self, file: str) -> Turn | None:
        """What a session was made to remember of its last answer; `None`: nothing, or it cannot be read."""
        with self.using() as database:
            row = database.execute(
                "SELECT turn FROM answers WHERE file = ? AND length(turn) <= ?",
                (file, MAX_ANSWER_BYTES + self._seal.overhead),
            ).fetchone()
        try:
            return None if row is None else turn_of(json.loads(self._opened_data(row[0], _turn_context(file))))
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
            log.warning("a turn in the journal cannot be read: %r", error)
            return None

    def told_at(self, file: str) -> float:
        """When a session was last told a turn that is remembered here, in seconds since 1970; 0: none is."""
        with self.using() as database:
            row = database.execute("SELECT told_at FROM answers WHERE file = ?", (file,)).fetchone()
        return float(row[0]) if row and row[0] is not None else 0.0

    def forget(self, file: str) -> None:
        """Drop a session's answer; none is fine. What was said does not stay in the write-ahead log either."""
        with self.using() as database:
            there = database.execute("SELECT 1 FROM answers WHERE file = ?", (file,)).fetchone()
            _drop(database, file)
        if there:
            # Where the disk refuses that, the next time does it.
            with contextlib.suppress(OSError):
                self.wipe()

    def tidy(
        self,
        ended_before: float,
        begun_before: float,
        is_saved: Callable[[str, float], bool] = lambda *_: True,
    ) -> None:
        """Drop answers that ended, or else began, before a time, and what is beyond the bytes that all may take.

        Args:
            ended_before: in seconds since 1970.
            begun_before: likewise.
            is_saved: whether the session's file has the turn of that time, or never will. Where not, it is only here.
        """

        def is_alone(row: Row) -> bool:
            return row.told_at is not None and not is_saved(row.file, row.told_at)

        with self.using() as database:
            # All that there mostly is to do behind a save.
            held, old_ones = database.execute(_LOOK, (begun_before, ended_before)).fetchone()
            if held <= self._most_bytes and not old_ones:
                return
            rows = [Row(*row) for row in database.execute(_SELECT_ROWS)]
            old = {row for row in rows if row.is_old(ended_before, begun_before) and not is_alone(row)}
            too_much = surplus((row for row in rows if row not in old), self._most_bytes, is_alone)
            for row in (*old, *too_much):
                _drop(database, row.file)
            database.execute("DELETE FROM drawn WHERE file NOT IN (SELECT file FROM answers)")

    def broken_off(self) -> int:
        """How many answers have no end, and can be taken up."""
        with self.using() as database:
            row = database.execute("SELECT COUNT(*) FROM answers WHERE ended IS NULL").fetchone()
        return int(row[0])

    def _add(self, database: sqlite3.Connection, new: Addition) -> None:
        if new.begun is not None:
            self._begin(database, new.file, new.begun)
        if new.ids:
            self._add_ids(database, new)
        if new.end is not None:
            reason, at = new.end
            database.execute("UPDATE answers SET reason = ?, ended = ? WHERE file = ?", (reason.value, at, new.file))
        if new.turn is not None:
            self._add_turn(database, new.file, new.turn)

    def _begin(self, database: sqlite3.Connection, file: str, answer: Answer) -> None:
        # All that was drawn comes with it, in one piece.
        database.execute("DELETE FROM drawn WHERE file = ?", (file,))
        head = packed(answer)
        if self._has_head(database, file, head):
            # Taken up: until it is told again, what was remembered of it may be nowhere else.
            return
        head = self._seal.seal(head, _head_context(file))
        row = (file, self._blind(answer.key.tenant), answer.begun, None, None, answer.size, head, None, None)
        database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _has_head(self, database: sqlite3.Connection, file: str, head: bytes) -> bool:
        row = database.execute("SELECT head FROM answers WHERE file = ?", (file,)).fetchone()
        is_there = row is not None and isinstance(row[0], bytes)
        return is_there and self._seal.open(row[0], _head_context(file)) == head

    def _add_turn(self, database: sqlite3.Connection, file: str, turn: Turn) -> None:
        text = json.dumps(asdict(turn), ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) > MAX_ANSWER_BYTES:
            log.warning("a turn is too long for the journal: a kill before it is saved costs it")
            return
        told = self._seal.seal(text, _turn_context(file))
        database.execute(
            "UPDATE answers SET size = size + ? - COALESCE(length(turn), 0), told_at = ?, turn = ? WHERE file = ?",
            (len(told), turn.at, told, file),
        )

    def _add_ids(self, database: sqlite3.Connection, new: Addition) -> None:
        row = database.execute("SELECT begun FROM answers WHERE file = ?", (new.file,)).fetchone()
        if row is None:
            # Its beginning went to make room: without it, nobody could read them.
            return
        ids = self._seal.seal(packed_ids(new.ids), _drawn_context(new.file, row[0], new.start))
        database.execute("INSERT OR REPLACE INTO drawn VALUES (?, ?, ?)", (new.file, new.start, ids))

    def _find(self, file: str) -> Answer | None:
        with self.using() as database:
            row = database.execute(
                "SELECT head, reason FROM answers WHERE file = ? AND length(head) <= ?",
                (file, MAX_ANSWER_BYTES + self._seal.overhead),
            ).fetchone()
            pieces = database.execute(
                "SELECT start, ids FROM drawn WHERE file = ? AND length(ids) <= ? ORDER BY start LIMIT ?",
                (file, 4 * MAX_DRAWN_TOKENS + self._seal.overhead, MAX_DRAWN_TOKENS),
            ).fetchall()
        return None if row is None else self._answer(file, row, pieces)

    def _answer(self, file: str, row: tuple[bytes, str | None], pieces: list[tuple[int, bytes]]) -> Answer | None:
        """The answer in a row. A disk's word is looked at before it is taken."""
        head, reason = row
        try:
            found = unpacked(self._opened_data(head, _head_context(file)))
            contexts = (_drawn_context(file, found.begun, start) for start, _ in pieces)
            drawn = _joined(
                (start, self._opened_data(ids, context)) for (start, ids), context in zip(pieces, contexts, strict=True)
            )
            end = None if reason is None else FinishReason(reason)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
            log.warning("an answer in the journal cannot be read: %r", error)
            return None
        return replace(found, drawn=drawn, end=end)

    def _opened_data(self, data: bytes, context: bytes) -> bytes:
        opened = self._seal.open(data, context)
        if opened is None:
            raise ValueError("it does not open")
        return opened


def _head_context(file: str) -> bytes:
    return b"journal head " + file.encode()


def _turn_context(file: str) -> bytes:
    return b"journal turn " + file.encode()


def _drawn_context(file: str, begun: float, start: int) -> bytes:
    """When the answer began tells its tokens from those of the session's answers before."""
    return b"journal drawn %b %r %d" % (file.encode(), begun, start)


def _drop(database: sqlite3.Connection, file: str) -> None:
    database.execute("DELETE FROM drawn WHERE file = ?", (file,))
    database.execute("DELETE FROM answers WHERE file = ?", (file,))


def _joined(pieces: Iterable[tuple[int, bytes]]) -> tuple[int, ...]:
    """What was drawn, up to the first gap."""
    ids: list[int] = []
    for start, data in pieces:
        if start != len(ids) or len(ids) > MAX_DRAWN_TOKENS:
            break
        ids += unpacked_ids(data)
    return tuple(ids)
