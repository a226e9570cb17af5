"""The write-back thread: it saves conversations while the engine computes, and removes what is too old or too much.

Of each session only its last state waits, however many turns it had meanwhile: saving writes what the file lacks. What
waits is bounded by the bytes of its keys and values, beyond which a conversation is saved without them, and by those of
its text, beyond which the one that has waited for longest is lost.

A save that hangs in the kernel holds up the others' saves, and no answer. It is told in the log and in the status, and
does not keep the watchdog from being fed; a thread that is gone does.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from autoglmd.errors.session import SessionError
from autoglmd.messages.sessions import SessionKey
from autoglmd.messages.status import SessionsStats
from autoglmd.pipeline.waiting import Waiting, surplus
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.store import SessionStore

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 300.0
TIDY_SECONDS = 60.0
OPEN_SECONDS = 15.0
"""How long another daemon may take to leave the folder: one that ends writes what is unsaved."""
STUCK_SECONDS = 30.0
"""A save that takes longer is told of."""
_OPEN_RETRY_SECONDS = 0.1


class WriteBack:
    """One thread, which alone saves; what is deleted goes in other threads. Its methods are safe from any thread."""

    def __init__(
        self,
        store: SessionStore,
        unsaved_bytes: int,
        retry_seconds: float = RETRY_SECONDS,
        open_seconds: float = OPEN_SECONDS,
    ) -> None:
        """Make it; `start` starts the thread.

        Args:
            store: where conversations are saved.
            unsaved_bytes: of keys and values that may wait, and of text. One conversation always may.
            retry_seconds: after which one that could not be saved is tried again.
            open_seconds: how long to wait for a folder that another daemon has.
        """
        self._store = store
        self._limit = unsaved_bytes
        self._retry_seconds = retry_seconds
        self._open_seconds = open_seconds
        self._changed = threading.Condition()
        self._waiting: OrderedDict[SessionKey, Waiting] = OrderedDict()
        self._at_work: SessionKey | None = None
        self._at_work_since = 0.0
        self._is_stuck = False
        self._saves = 0
        self._failed_saves = 0
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
    def stats(self) -> SessionsStats:
        """What is on disk and what is not yet. Asks no disk."""
        kept = self._store.kept
        with self._changed:
            return SessionsStats(
                sessions=kept.sessions + sum(each.is_new for each in self._waiting.values()),
                disk_bytes=kept.bytes,
                unsaved_sessions=len(self._waiting),
                unsaved_seconds=self._unsaved_seconds,
                saves=self._saves,
                failed_saves=self._failed_saves,
                expired=kept.expired,
                evicted=kept.evicted,
            )

    @property
    def refused_seconds(self) -> float:
        """For how long a conversation waits that the disk has refused already, or that hangs at it; 0: none does."""
        with self._changed:
            is_refused = self._is_stuck or any(each.waits for each in self._waiting.values())
            return self._unsaved_seconds if is_refused else 0.0

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
        key, now = conversation.key, time.monotonic()
        kv_bytes, text_bytes = conversation.kv_bytes, conversation.text_bytes
        with self._changed:
            others = sum(each.kv_bytes for other, each in self._waiting.items() if other != key)
            is_too_much = bool(others) and others + kv_bytes > self._limit
            if is_too_much:
                # Their places stay: others that the file has there do not belong to it any more.
                conversation, kv_bytes = conversation.without_data(), 0
            new = Waiting(conversation, kv_bytes, text_bytes, now, is_new=conversation.turns <= 1)
            self._waiting[key] = new.in_place_of(self._waiting.get(key))
            lost = surplus(self._waiting, self._limit, (self._at_work, key))
            for each in lost:
                del self._waiting[each]
            self._lost = self._lost or bool(lost)
            stuck = self._newly_stuck(now)
            self._changed.notify_all()
        # Not with the lock: whoever reads the log may be slow, and answers wait for this.
        if is_too_much:
            log.warning("the disk is too slow: keys and values of a conversation are not saved")
        for each in lost:
            log.error("the disk takes nothing: a session is not saved", extra={"session": each.session_id})
        if stuck is not None:
            log.error("a save hangs: the disk does not answer", extra=stuck)

    def find(self, key: SessionKey) -> Conversation | None:
        """A conversation that waits to be saved."""
        with self._changed:
            waiting = self._waiting.get(key)
            return None if waiting is None else waiting.conversation.readable()

    def unsaved_of(self, tenant: str) -> tuple[Conversation, ...]:
        """A tenant's conversations that wait to be saved."""
        with self._changed:
            return tuple(each.conversation.readable() for key, each in self._waiting.items() if key.tenant == tenant)

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

    def wait_saved(self, key: SessionKey, timeout_seconds: float) -> bool:
        """Wait until nothing of a session waits. False: something still does."""
        with self._changed:
            return self._changed.wait_for(lambda: key not in self._waiting, timeout_seconds)

    def stop(self, timeout_seconds: float) -> bool:
        """Try once to save each one that waits, and end the thread. False: not all could be saved."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)
        return not (self._thread.is_alive() or self._waiting or self._lost)

    @property
    def _unsaved_seconds(self) -> float:
        first = min((each.since for each in self._waiting.values()), default=None)
        return 0.0 if first is None else time.monotonic() - first

    def _newly_stuck(self, now: float) -> dict[str, object] | None:
        """What there is to say of a save that hangs, once for each."""
        seconds = now - self._at_work_since
        if self._at_work is None or seconds <= STUCK_SECONDS or self._is_stuck:
            return None
        self._is_stuck = True
        return {"seconds": round(seconds), **self._at_risk()}

    def _at_risk(self) -> dict[str, object]:
        """What a crash would lose now."""
        return {"unsaved_sessions": len(self._waiting), "unsaved_seconds": round(self._unsaved_seconds, 1)}

    def _work(self) -> None:
        if not self._has_folder():
            return
        self._guarded("look through its files", self._store.reconcile)
        tidy_at = time.monotonic()
        while True:
            waiting = self._next(tidy_at)
            if waiting is not None:
                self._finish(waiting, saved=self._save(waiting))
            elif self._stopping:
                return
            else:
                self._guarded("remove what is too old", lambda: self._tidy(None))
                tidy_at = time.monotonic() + TIDY_SECONDS

    def _has_folder(self) -> bool:
        """Have the folder once its daemon has left it, or another one in the end. False: we were asked to stop."""
        until = time.monotonic() + self._open_seconds
        if not self._store.is_open:
            log.warning("conversations wait for their folder: %s", self._store.refusal)
        while not (self._store.is_open or self._store.open()):
            if time.monotonic() >= until and self._store.open_elsewhere():
                break
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, _OPEN_RETRY_SECONDS):
                    return False
        return True

    def _next(self, tidy_at: float) -> Waiting | None:
        """The next conversation, once there is one whose time has come; `None` when there is something else to do."""
        with self._changed:
            while True:
                now = time.monotonic()
                times = {key: 0.0 if self._stopping else each.not_before for key, each in self._waiting.items()}
                due = next((key for key, not_before in times.items() if not_before <= now), None)
                if due is not None:
                    self._at_work, self._at_work_since, self._is_stuck = due, now, False
                    return self._waiting[due]
                if self._stopping or tidy_at <= now:
                    return None
                self._changed.wait(min((tidy_at, *times.values())) - now)

    def _save(self, waiting: Waiting) -> bool:
        """Save a conversation. False: it may succeed later."""
        try:
            self._store.save(waiting.conversation)
        except (OSError, MemoryError) as error:
            with self._changed:
                self._failed_saves += 1
                at_risk = self._at_risk()
            log.warning("a session could not be saved and is tried again: %s", error, extra=at_risk)
            return False
        except SessionError as error:
            self._give_up()
            log.warning("a session cannot be saved: %s", error.message)
        except Exception:
            # A defect of ours; the sessions behind it are not to blame.
            self._give_up()
            log.exception("a session cannot be saved")
        else:
            with self._changed:
                self._saves += 1
        self._guarded("remove what is too much", lambda: self._tidy(waiting))
        return True

    def _give_up(self) -> None:
        with self._changed:
            self._lost = True
            self._failed_saves += 1

    def _finish(self, done: Waiting, *, saved: bool) -> None:
        key, is_lost = done.conversation.key, False
        with self._changed:
            self._at_work = None
            is_last = self._waiting.get(key) is done
            if is_last and (saved or self._stopping):
                # One that could not be saved at the end is lost, and `stop` says so.
                is_lost = not saved
                self._lost = self._lost or is_lost
                del self._waiting[key]
            elif not saved and key in self._waiting:
                # Each time twice as late: a disk that takes nothing must not keep an idle box busy.
                waits = min(2 * done.waits or self._retry_seconds, LONGEST_RETRY_SECONDS)
                later = time.monotonic() + waits
                self._waiting[key] = replace(self._waiting[key], not_before=later, waits=waits)
                self._waiting.move_to_end(key)
            elif saved and key in self._waiting:
                # A newer state came while this one was saved.
                self._waiting[key] = replace(self._waiting[key], since=time.monotonic(), is_new=False)
            self._changed.notify_all()
        if is_lost:
            log.error("a session is not saved before the end", extra={"session": key.session_id})

    def _tidy(self, saved: Waiting | None) -> int:
        """Remove what may go: not what waits, for the catalog knows of its last turn only once it is `saved`."""

        def is_needed(key: SessionKey) -> bool:
            with self._changed:
                waits = self._waiting.get(key) not in (None, saved)
            return waits or self._is_in_use(key)

        return self._store.tidy(is_needed)

    def _guarded(self, what: str, work: Callable[[], int]) -> None:
        """Do what can be done later as well."""
        try:
            work()
        except OSError as error:
            log.warning("the store of sessions could not %s: %s", what, error)
        except Exception:
            # A defect of ours must not end the thread.
            log.exception("the store of sessions could not %s", what)
