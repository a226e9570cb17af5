"""The thread that journals answers while they are given: what has begun at once, what is drawn in groups.

The event loop tells it what happens, and waits for nothing. If the journal refuses, that is said once, answers go on,
and what is unwritten is tried again later.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from autoglmd.messages.generation import FinishReason
from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline.open_answer import OpenAnswer
from autoglmd.sessions.answer import Answer
from autoglmd.sessions.conversation import Turn
from autoglmd.sessions.journal import MAX_ANSWER_BYTES, Addition, Journal

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
# Of answers that are over, and that a disk does not take.
_MOST_UNWRITTEN_BYTES = 32 << 20

Batch = list[tuple[OpenAnswer, Addition]]


@dataclass(frozen=True, slots=True)
class Places:
    """Where answers are written, what the journal calls a session, and the time of day."""

    journal: Callable[[], Journal]
    file_of: Callable[[SessionKey], str]
    now: Callable[[], float]


class Journalling:
    """One thread, which alone adds to the journal. Its methods are safe from any thread.

    None of them waits for a disk, but for `find`, `forget` and `stop`.
    """

    def __init__(self, places: Places, seconds: float, retry_seconds: float = RETRY_SECONDS) -> None:
        """Make it; `start` starts the thread.

        Args:
            places: where answers are written, and what they are called there.
            seconds: see the attribute.
            retry_seconds: after which a journal that refused is tried again.
        """
        self._places = places
        self.seconds = seconds
        """Between two commits of what was drawn; 0: that is written when an answer is over."""
        self._retry_seconds = retry_seconds
        self._changed = threading.Condition()
        self._entries: dict[SessionKey, OpenAnswer] = {}
        self._next_at = 0.0
        self._is_refused = False
        self._at_work: frozenset[SessionKey] = frozenset()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)

    @property
    def unwritten(self) -> int:
        """Answers of which a crash would lose something."""
        with self._changed:
            return sum(each.is_new or each.is_behind for each in self._entries.values())

    @property
    def is_whole(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def begin(self, answer: Answer) -> None:
        """An answer begins, or is taken up. It takes the place of the session's last one."""
        begun = answer if answer.begun else replace(answer, begun=self._places.now())
        with self._changed:
            former = self._entries.pop(answer.key, None)
            if answer.size > MAX_ANSWER_BYTES:
                log.warning("an answer's prompt is too long for the journal: it cannot be taken up")
                return
            ended = None if answer.end is None else (answer.end, self._places.now())
            entry = self._entries[answer.key] = OpenAnswer(begun, list(answer.drawn), ended)
            if former is not None and former.answer.begun == begun.begun:
                # The same one again: what is remembered of it is, until it has come to its end again.
                entry.turn = former.turn
            self._bound()
            self._changed.notify_all()

    def drew(self, key: SessionKey, place: int, token_id: int) -> None:
        """A token was drawn at a place in the answer. One that is known already is nothing new."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is not None and place == len(entry.drawn):
                entry.drawn.append(token_id)

    def ended(self, key: SessionKey, reason: FinishReason) -> None:
        """The reader was told that the answer has ended."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is not None:
                entry.ended, entry.ended_written = (reason, self._places.now()), False

    def said(self, key: SessionKey, turn: Turn) -> None:
        """The session remembers this of its last answer. So it will if the daemon is killed before it is saved."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is not None:
                entry.turn = turn

    def over(self, key: SessionKey) -> None:
        """Nothing more comes of the answer."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is not None:
                entry.is_over = True
                self._let_go(entry)
                self._changed.notify_all()

    def known(self, key: SessionKey) -> Answer | None:
        """A session's last answer, so far, if it is being given or not yet written to its end. Asks no disk."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is None:
                return None
            end = None if entry.ended is None else entry.ended[0]
            return replace(entry.answer, drawn=tuple(entry.drawn), end=end)

    def find(self, key: SessionKey) -> Answer | None:
        """A session's last answer, so far. Raises OSError."""
        return self.known(key) or self._places.journal().find(self._places.file_of(key), key)

    def last_turn(self, key: SessionKey) -> tuple[Answer, Turn] | None:
        """A session's last answer and what is remembered of it, if something is. Raises OSError."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is not None:
                return None if entry.turn is None else (entry.answer, entry.turn)
        journal, file = self._places.journal(), self._places.file_of(key)
        turn = journal.turn(file)
        answer = None if turn is None else journal.find(file, key)
        return None if answer is None or turn is None else (answer, turn)

    def forget(self, key: SessionKey) -> None:
        """Drop a session's answer. If it is being written, that is waited for. Raises OSError: it is still there."""
        with self._changed:
            self._changed.wait_for(lambda: key not in self._at_work)
            self._entries.pop(key, None)
        self._places.journal().forget(self._places.file_of(key))

    def stop(self, timeout_seconds: float) -> bool:
        """Write what is unwritten, and end the thread. False: not all of it could be."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)
        return not (self._thread.is_alive() or self.unwritten)

    def _work(self) -> None:
        told = self._told_broken_off()
        while (going := self._next()) is not None:
            # Not before the folder is this daemon's.
            told = told or self._told_broken_off()
            written = self._write(going)
            self._finish(written)
            if self._stopping and written is None:
                # Tried once at the end.
                return

    def _told_broken_off(self) -> bool:
        """Tell what can be taken up. False: the journal does not say yet."""
        try:
            count = self._places.journal().broken_off()
        except OSError:
            return False
        log.info(
            "answers that broke off can be taken up; a kill may cost what was drawn since the last commit",
            extra={"answers": count, "journal_seconds": self.seconds},
        )
        return True

    def _next(self) -> list[OpenAnswer] | None:
        """Of which answers something is to be written, once its time has come; `None` at the end."""
        with self._changed:
            while True:
                now = time.monotonic()
                if any(self._is_due(entry, now) for entry in self._entries.values()):
                    # Whoever is behind goes along: it costs no commit of its own.
                    going = [entry for entry in self._entries.values() if entry.is_new or entry.is_behind]
                    self._at_work = frozenset(entry.answer.key for entry in going)
                    return going
                if self._stopping:
                    return None
                self._changed.wait(self._rest(now))

    def _is_due(self, entry: OpenAnswer, now: float) -> bool:
        if self._stopping:
            return entry.is_new or entry.is_behind
        if self._is_refused and now < self._next_at:
            return False
        # What was told to its end is not to be lost: that waits for nobody.
        is_told = entry.is_over and entry.turn is not entry.written_turn
        may_be_written = is_told or (entry.is_over if not self.seconds else now >= self._next_at)
        return entry.is_new or (entry.is_behind and may_be_written)

    def _rest(self, now: float) -> float | None:
        """For how long there is nothing to do, unless somebody says so: drawing a token wakes nobody."""
        if not self._entries or not (self.seconds or self._is_refused):
            return None
        return self._next_at - now if self._next_at > now else self.seconds or self._retry_seconds

    def _write(self, going: list[OpenAnswer]) -> Batch | None:
        """Returns what was written; `None`: the journal does not take it."""
        try:
            with self._changed:
                batch = [(entry, entry.addition) for entry in going]
            written = self._added(batch)
        except Exception as error:  # noqa: BLE001 - see below
            # Also a defect of ours must not end the thread. Said once, not with each try.
            if not self._is_refused:
                log.warning("answers are not journalled for now, and go on: %r", error)
            return None
        if self._is_refused:
            log.info("answers are journalled again")
        return written

    def _added(self, batch: Batch) -> Batch:
        """All of it; without what cannot be written for what it is itself, which must not keep the others from it."""
        try:
            self._add(batch)
        except OSError:
            raise
        except Exception as error:
            written = [each for each in batch if self._can_add(each)]
            if not written and not isinstance(error, ValueError | TypeError):
                # Then it may be something else, as memory, and all of it is tried again later.
                raise
            self._give_up([entry for entry, _ in batch if all(entry is not other for other, _ in written)], error)
            return written
        return batch

    def _can_add(self, each: tuple[OpenAnswer, Addition]) -> bool:
        """Try one by itself. Raises OSError."""
        try:
            self._add([each])
        except OSError:
            raise
        except Exception:  # noqa: BLE001 - whatever all of them together raised
            return False
        return True

    def _add(self, batch: Batch) -> None:
        """All or none."""
        self._places.journal().add(
            replace(addition, file=self._places.file_of(entry.answer.key)) for entry, addition in batch
        )

    def _give_up(self, entries: list[OpenAnswer], error: Exception) -> None:
        with self._changed:
            for entry in entries:
                if self._entries.get(entry.answer.key) is entry:
                    del self._entries[entry.answer.key]
        # Not with the lock: whoever reads the log may be slow, and every token waits for this.
        log.error("answers cannot be journalled, and not be taken up", exc_info=error, extra={"answers": len(entries)})

    def _finish(self, written: Batch | None) -> None:
        with self._changed:
            self._at_work = frozenset()
            self._is_refused = written is None
            self._next_at = time.monotonic() + (self._retry_seconds if written is None else self.seconds)
            for entry, addition in written or ():
                entry.has_written(addition)
                self._let_go(entry)
            self._changed.notify_all()

    def _let_go(self, entry: OpenAnswer) -> None:
        """Forget one that is over and written: the journal has it."""
        is_done = entry.is_over and not (entry.is_new or entry.is_behind)
        if is_done and self._entries.get(entry.answer.key) is entry:
            del self._entries[entry.answer.key]

    def _bound(self) -> None:
        """Forget the oldest of those that are over, where the journal does not take them; what was told goes last."""
        over = sum(each.size for each in self._entries.values()) - _MOST_UNWRITTEN_BYTES
        for key, entry in sorted(self._entries.items(), key=lambda item: item[1].turn is not item[1].written_turn):
            if over <= 0:
                break
            if entry.is_over:
                over -= entry.size
                del self._entries[key]
