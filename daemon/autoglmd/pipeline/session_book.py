"""The daemon's conversations: those in memory, those on disk, and those on their way there."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from autoglmd.config import SessionsConfig
from autoglmd.errors import HostError, SessionError
from autoglmd.host.clock import Clock
from autoglmd.host.disk import Disk
from autoglmd.messages import CacheMiss, CacheReport, CacheTier, Message, SessionInfo, SessionKey
from autoglmd.pipeline.leases import Leases
from autoglmd.pipeline.preparation import Recalled
from autoglmd.pipeline.write_back import WriteBack
from autoglmd.sessions.catalog import Entry
from autoglmd.sessions.conversation import Conversation, ModelMark
from autoglmd.sessions.expiry import SteadyClock
from autoglmd.sessions.store import Bounds, SessionStore
from autoglmd.sessions.warm import WarmConversations

log = logging.getLogger(__name__)


def open_sessions(folder: Path, config: SessionsConfig, clock: Clock) -> "SessionBook":
    """The conversations under a folder, with their write-back thread running.

    Where another daemon has the folder, they are kept in a temporary one, and end with this daemon.

    Raises:
        HostError: there is no place for a temporary folder, either.
    """
    steady, bounds = SteadyClock(clock), Bounds(config.disk_bytes, config.ttl_seconds)
    temporary: TemporaryDirectory[str] | None = None
    try:
        store = SessionStore(folder, bounds, Disk(), steady)
    except HostError as error:
        log.warning("%s Until then, conversations of this daemon end with it.", error.message)
        try:
            temporary = TemporaryDirectory(prefix="autoglmd-sessions-", ignore_cleanup_errors=True)
        except OSError:
            raise error from None
        store = SessionStore(Path(temporary.name), bounds, Disk(), steady)
    warm, write_back = WarmConversations(config.memory_bytes), WriteBack(store, config.unsaved_bytes)
    book = SessionBook(store, warm, write_back, config, temporary)
    book.start()
    return book


class SessionBook:
    """Finds conversations and takes what was added to them. `leases` is the event loop's; the rest is any thread's.

    Who recalls a conversation, commits to it or deletes it has its lease, so that calls for one session do not overlap.
    """

    def __init__(
        self,
        store: SessionStore,
        warm: WarmConversations,
        write_back: WriteBack,
        config: SessionsConfig,
        temporary: TemporaryDirectory[str] | None = None,
    ) -> None:
        """Make it of its parts; a `temporary` folder of the store goes with it."""
        self.leases = Leases(may_wait=config.busy == "wait")
        self._store = store
        self._warm = warm
        self._write_back = write_back
        self._temporary = temporary

    def start(self) -> None:
        """Start the write-back thread."""
        self._write_back.start(self.leases.is_taken)

    @property
    def is_whole(self) -> bool:
        """Whether conversations are being saved."""
        return self._write_back.is_whole

    def find(self, key: SessionKey) -> Conversation | None:
        """A conversation that is in memory, and not too old."""
        # Unsaved ones may be newer than what is on disk, wherever memory was too small to keep them warm.
        known = self._warm.find(key) or self._write_back.find(key)
        return None if known is None or self._store.is_expired(known) else known

    def recall(self, key: SessionKey, model: ModelMark) -> Recalled:
        """The conversation as `model` finds it; an empty one where there is none.

        Raises:
            SessionError: what is on disk must not be touched: it is another session's, or a newer program's.
        """
        known = self.find(key)
        if known is not None:
            return _recalled(known, model, CacheTier.MEMORY, None)
        try:
            found = self._store.load(key, model)
        except OSError as error:
            # The answer goes on without: a disk's fault must not keep a model from answering.
            log.warning("a session cannot be read: %s", error)
            found = CacheMiss.UNREADABLE
        if isinstance(found, CacheMiss):
            return Recalled(self._store.begin(key, model), CacheReport(miss=found))
        return _recalled(found.conversation, model, CacheTier.DISK, CacheMiss.DAMAGED if found.damaged else None)

    def begin(self, key: SessionKey, model: ModelMark) -> Conversation:
        """A session before its first turn."""
        return self._store.begin(key, model)

    def commit(self, conversation: Conversation) -> None:
        """Take a conversation with one more turn: the next one finds it at once; it is saved in the background."""
        self._warm.put(conversation)
        self._write_back.put(conversation)

    def sessions(self, tenant: str) -> tuple[SessionInfo, ...]:
        """A tenant's sessions, the last used first. Raises SessionError where the disk does not tell."""
        try:
            known = {entry.session_id: self._info(entry) for entry in self._store.catalog.of(tenant)}
        except OSError as error:
            raise SessionError(f"The sessions cannot be listed: {error}. The daemon's log has more.") from error
        for unsaved in self._write_back.unsaved_of(tenant):
            known[unsaved.key.session_id] = self._unsaved_info(unsaved)
        return tuple(sorted(known.values(), key=lambda each: -each.last_used))

    def describe(self, key: SessionKey) -> tuple[SessionInfo, tuple[Message, ...]] | None:
        """A session and what was said; `None`: there is none. Raises SessionError where the disk does not tell."""
        try:
            entry, known = self._store.entry(key), self.find(key)
            if known is None:
                found = self._store.load(key, None)
                known = None if isinstance(found, CacheMiss) else found.conversation
        except OSError as error:
            raise SessionError(f"Session {key.session_id!r} cannot be read: {error}.") from error
        if known is None:
            return None
        is_saved = entry is not None and self._write_back.find(key) is None
        return (self._info(entry) if entry and is_saved else self._unsaved_info(known)), known.messages

    def delete(self, key: SessionKey) -> bool:
        """Forget a session. False: there is none. Raises SessionError where the disk refuses, and it is still there."""
        known = self.find(key) is not None
        self._write_back.forget(key)
        try:
            there = self._store.delete(key)
        except OSError as error:
            raise SessionError(f"Session {key.session_id!r} cannot be removed: {error}. Try again.") from error
        self._warm.forget(key)
        return there or known

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all is saved. False: not all is."""
        return self._write_back.flush(timeout_seconds)

    def stop(self, timeout_seconds: float) -> bool:
        """Save what is unsaved, and give the folder back. False: not all of it could be saved, in time or at all."""
        saved = self._write_back.stop(timeout_seconds)
        if self._write_back.is_whole:
            # It is still writing, and the folder is its own as long as it does.
            return False
        self._store.close()
        if self._temporary is not None:
            self._temporary.cleanup()
        return saved

    def _info(self, entry: Entry) -> SessionInfo:
        return SessionInfo(
            session_id=entry.session_id,
            model=entry.model,
            created=entry.created,
            last_used=entry.last_used,
            expires=entry.last_used + self._store.bounds.ttl_seconds,
            turns=entry.turns,
            tokens=entry.tokens,
            disk_bytes=entry.bytes,
        )

    def _unsaved_info(self, known: Conversation) -> SessionInfo:
        return SessionInfo(
            session_id=known.key.session_id,
            model=known.model.name,
            created=known.created,
            last_used=known.last_used,
            expires=known.last_used + self._store.bounds.ttl_seconds,
            turns=known.turns,
            tokens=len(known.ids),
            disk_bytes=0,
        )


def _recalled(known: Conversation, model: ModelMark, tier: CacheTier, miss: CacheMiss | None) -> Recalled:
    changed = CacheMiss.MODEL_CHANGED if known.model != model else None
    return Recalled(known.of(model), CacheReport(tier=tier, miss=changed or miss))
