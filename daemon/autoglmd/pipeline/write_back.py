"""The write-back thread: it saves conversations while the engine computes, and removes what is too old or too much.

Of each session only its last state waits, however many turns it had meanwhile: saving writes what the file lacks. What
waits is bounded by the bytes of its keys and values; beyond that a conversation is saved without them.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from autoglmd.errors import SessionError
from autoglmd.messages import SessionKey
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.store import SessionStore

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 300.0
TIDY_SECONDS = 60.0
_MOST_WAITING = 4096


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A conversation that is to be saved, not before a monotonic time; `waits` are the seconds between two tries."""

    conversation: Conversation
    not_before: float = 0.0
    waits: float = 0.0


class WriteBack:
    """One thread, which alone writes to the store. Its methods are safe from any thread."""

    def __init__(self, store: SessionStore, unsaved_bytes: int, retry_seconds: float = RETRY_SECONDS) -> None:
        """Make it; `start` starts the thread.

        Args:
            store: where conversations are saved.
            unsaved_bytes: of keys and values that may wait. One conversation always may.
            retry_seconds: after which one that could not be saved is tried again.
        """
        self._store = store
        self._limit = unsaved_bytes
        self._retry_seconds = retry_seconds
        self._changed = threading.Condition()
        self._waiting: OrderedDict[SessionKey, _Waiting] = OrderedDict()
        self._at_work: SessionKey | None = None
        self._stopping = False
        self._lost = False
        self._is_in_use: Callable[[SessionKey], bool] = lambda _: False
        self._thread = threading.Thread(target=self._work, name="write-back", daemon=True)

    @property
    def unsaved(self) -> int:
        """Sessions of which a crash would lose something."""
        with self._changed:
            return len(self._waiting)

    @property
    def is_whole(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()

    def start(self, is_in_use: Callable[[SessionKey], bool]) -> None:
        """Start the thread. Sessions that are in use are not removed."""
        self._is_in_use = is_in_use
        self._thread.start()

    def put(self, conversation: Conversation) -> None:
        """Have a conversation saved, in place of an earlier state of it. Never blocks."""
        with self._changed:
            others = sum(each.conversation.kv_bytes for key, each in self._waiting.items() if key != conversation.key)
            if others and others + conversation.kv_bytes > self._limit:
                log.warning("the disk is too slow: keys and values of a conversation are not saved")
                conversation = replace(conversation, blocks=())
            earlier = self._waiting.get(conversation.key)
            self._waiting[conversation.key] = replace(earlier or _Waiting(conversation), conversation=conversation)
            while len(self._waiting) > _MOST_WAITING:
                oldest = next(key for key in self._waiting if key != self._at_work)
                log.error("the disk takes nothing: a session is not saved", extra={"session": oldest.session_id})
                del self._waiting[oldest]
                self._lost = True
            self._changed.notify_all()

    def find(self, key: SessionKey) -> Conversation | None:
        """A conversation that waits to be saved."""
        with self._changed:
            waiting = self._waiting.get(key)
            return None if waiting is None else waiting.conversation

    def unsaved_of(self, tenant: str) -> tuple[Conversation, ...]:
        """A tenant's conversations that wait to be saved."""
        with self._changed:
            return tuple(each.conversation for key, each in self._waiting.items() if key.tenant == tenant)

    def forget(self, key: SessionKey) -> None:
        """Save nothing of a session any more. If it is being saved, that is waited for."""
        with self._changed:
            self._changed.wait_for(lambda: self._at_work != key)
            self._waiting.pop(key, None)
            self._changed.notify_all()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until nothing waits. False: something still does."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout_seconds)

    def stop(self, timeout_seconds: float) -> bool:
        """Try once to save each one that waits, and end the thread. False: not all could be saved."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)
        return not (self._thread.is_alive() or self._waiting or self._lost)

    def _work(self) -> None:
        self._guarded("look through its files", self._store.reconcile)
        tidy_at = time.monotonic()
        while True:
            waiting = self._next(tidy_at)
            if waiting is not None:
                self._finish(waiting, saved=self._save(waiting.conversation))
            elif self._stopping:
                return
            else:
                self._guarded("remove what is too old", self._tidy)
                tidy_at = time.monotonic() + TIDY_SECONDS

    def _next(self, tidy_at: float) -> _Waiting | None:
        """The next conversation, once there is one whose time has come; `None` when there is something else to do."""
        with self._changed:
            while True:
                now = time.monotonic()
                times = {key: 0.0 if self._stopping else each.not_before for key, each in self._waiting.items()}
                due = next((key for key, not_before in times.items() if not_before <= now), None)
                if due is not None:
                    self._at_work = due
                    return self._waiting[due]
                if self._stopping or tidy_at <= now:
                    return None
                self._changed.wait(min((tidy_at, *times.values())) - now)

    def _save(self, conversation: Conversation) -> bool:
        """Save a conversation. False: it may succeed later."""
        try:
            self._store.save(conversation)
        except (OSError, MemoryError) as error:
            log.warning("a session could not be saved and is tried again: %s", error, extra={"unsaved": self.unsaved})
            return False
        except SessionError as error:
            self._lost = True
            log.warning("a session cannot be saved: %s", error.message)
        except Exception:
            # A defect of ours; the sessions behind it are not to blame.
            self._lost = True
            log.exception("a session cannot be saved")
        self._guarded("remove what is too much", self._tidy)
        return True

    def _finish(self, done: _Waiting, *, saved: bool) -> None:
        key = done.conversation.key
        with self._changed:
            self._at_work = None
            is_last = self._waiting.get(key) is done
            if is_last and (saved or self._stopping):
                # One that could not be saved at the end is lost, and `stop` says so.
                self._lost = self._lost or not saved
                del self._waiting[key]
            elif not saved and key in self._waiting:
                # Each time twice as late: a disk that takes nothing must not keep an idle box busy.
                waits = min(2 * done.waits or self._retry_seconds, LONGEST_RETRY_SECONDS)
                later = time.monotonic() + waits
                self._waiting[key] = replace(self._waiting[key], not_before=later, waits=waits)
                self._waiting.move_to_end(key)
            self._changed.notify_all()

    def _tidy(self) -> int:
        return self._store.tidy(self._is_in_use)

    def _guarded(self, what: str, work: Callable[[], int]) -> None:
        """Do what can be done later as well."""
        try:
            work()
        except OSError as error:
            log.warning("the store of sessions could not %s: %s", what, error)
        except Exception:
            # A defect of ours must not end the thread.
            log.exception("the store of sessions could not %s", what)
