"""The daemon's conversations: those in memory, those on disk, and those on their way there."""

import logging
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from autoglmd.config.rooms import SessionsConfig
from autoglmd.errors.availability import UnavailableError
from autoglmd.errors.session import SessionError
from autoglmd.host.clock import Clock
from autoglmd.host.disk import Disk
from autoglmd.messages.sessions import CacheMiss, CacheReport, CacheTier, SessionInfo, SessionKey
from autoglmd.messages.status import SessionsStats
from autoglmd.pipeline.journalling import Journalling, Places
from autoglmd.pipeline.last_answers import LastAnswers
from autoglmd.pipeline.leases import Leases
from autoglmd.pipeline.preparation import Recalled
from autoglmd.pipeline.recall import Recall
from autoglmd.pipeline.session_info import saved_info, unsaved_info
from autoglmd.pipeline.sharing import Sharing
from autoglmd.pipeline.unsaved_turns import Loaded, UnsavedTurns
from autoglmd.pipeline.write_back import WriteBack
from autoglmd.sessions.conversation import Conversation, ModelMark
from autoglmd.sessions.expiry import SteadyClock
from autoglmd.sessions.key import configured_seal
from autoglmd.sessions.memory import Memory
from autoglmd.sessions.prefixes import SharedPrefixes
from autoglmd.sessions.quota import Bounds
from autoglmd.sessions.store import SessionStore
from autoglmd.sessions.warm import WarmConversations

log = logging.getLogger(__name__)


def open_sessions(folder: Path, config: SessionsConfig, clock: Clock) -> "SessionBook":
    """The conversations under a folder, with their write-back thread running.

    Where another daemon has the folder, that thread waits until it is left; see `SessionBook.check_open`. If it is not
    left, conversations are kept in a temporary one, and end with this daemon.

    Raises:
        ConfigError: the key is not the folder's, or there is none where one is needed. Nothing was touched.
    """
    seal = configured_seal(config.key_file, os.environ)
    bounds = Bounds(config.disk_bytes, config.ttl_seconds, config.tenant_bytes, config.tenant_sessions)
    store = SessionStore(folder, bounds, Disk(), SteadyClock(clock), seal)
    book = SessionBook(store, WriteBack(store, config.unsaved_bytes), config)
    book.start()
    return book


def recalling(book: "SessionBook", model: ModelMark) -> Recall:
    """How one model's requests find their conversations."""
    return Recall(
        in_memory=lambda key: book.recall_known(key, model),
        on_disk=lambda key: book.recall(key, model),
        unreadable=lambda key: book.without(key, model, CacheMiss.UNREADABLE),
    )


class SessionBook:
    """Finds conversations and takes what was added to them. `leases` is the event loop's; the rest is any thread's.

    `answers` journals what is being said.

    Who recalls a conversation, commits to it or deletes it has its lease, so that calls for one session do not overlap.
    """

    def __init__(
        self,
        store: SessionStore,
        write_back: WriteBack,
        config: SessionsConfig,
    ) -> None:
        """Make it of its parts."""
        self.leases = Leases(may_wait=config.busy == "wait")
        self.import_bytes = min(config.import_bytes, store.bounds.largest_session)
        """Of the largest file of a session that is taken."""
        self.recall_seconds = config.recall_seconds
        places = Places(lambda: store.journal, store.file_of, store.now)
        self.answers = Journalling(places, config.journal_seconds)
        self._store = store
        self._ttl = store.bounds.ttl_seconds
        self._kept = UnsavedTurns(store, self.answers.last_turn)
        self._memory = Memory(config.memory_bytes)
        self._warm = WarmConversations(self._memory)
        self._prefixes = SharedPrefixes(self._memory) if config.share_prefixes else None
        self._write_back = write_back
        self.last_answers = LastAnswers(self.answers, self._kept.is_told)

    def start(self) -> None:
        """Start the threads that write."""
        self._write_back.start(self.leases.is_taken)
        self.answers.start()

    @property
    def transit(self) -> Path:
        """See SessionStore.transit."""
        return self._store.transit

    @property
    def is_whole(self) -> bool:
        """Whether conversations are being saved."""
        return self._write_back.is_whole and self.answers.is_whole

    @property
    def stats(self) -> SessionsStats:
        """What is kept, and how saving it went. Asks no disk; who answers requests adds what those found."""
        return replace(
            self._write_back.stats,
            memory_sessions=self._warm.count,
            memory_bytes=self._memory.held_bytes,
            journal_seconds=self.answers.seconds,
        )

    @property
    def refused_seconds(self) -> float:
        """For how long the disk has taken no conversations; 0 where it takes them. Asks no disk."""
        return self._write_back.refused_seconds

    def check_open(self) -> None:
        """Raises UnavailableError as long as the folder is not ours, as while the daemon before still saves there."""
        if not self._store.is_open:
            raise UnavailableError(
                f"Conversations cannot be had now: {self._store.refusal.rstrip('.')}. Try again in a moment, give this "
                "daemon a state_dir of its own, or ask without a session."
            )

    def find(self, key: SessionKey) -> Conversation | None:
        """A conversation that is in memory, and not too old."""
        # Unsaved ones may be newer than what is on disk, wherever memory was too small to keep them warm.
        known = self._warm.find(key) or self._write_back.find(key)
        return None if known is None or self._store.is_expired(known) else known

    def recall_known(self, key: SessionKey, model: ModelMark) -> Recalled | None:
        """The conversation as `model` finds it; `None`: it is not in memory."""
        known = self.find(key)
        return None if known is None else _recalled(known, model, CacheTier.MEMORY, None)

    def recall(self, key: SessionKey, model: ModelMark) -> Recalled:
        """The conversation as `model` finds it; an empty one where there is none.

        Raises:
            SessionError: what is on disk must not be touched: it is another session's, or a newer program's.
        """
        known = self.recall_known(key, model)
        if known is not None:
            return known
        try:
            found = self._kept.load(key, model)
        except OSError as error:
            # The answer goes on without: a disk's fault must not keep a model from answering.
            log.warning("a session cannot be read: %s", error)
            found = CacheMiss.UNREADABLE
        if isinstance(found, CacheMiss):
            return self.without(key, model, found)
        if not found.is_saved:
            # Before the next answer takes its place in the journal. Half of the time that the next one waits for.
            self.last_answers.take(key, partial(self.commit, found.conversation))
            self.wait_saved(key, self.recall_seconds / 2)
        return _recalled(found.conversation, model, CacheTier.DISK, CacheMiss.DAMAGED if found.damaged else None)

    def sharing(self, model: ModelMark) -> Sharing | None:
        """What that model's prompts have in common; `None` where nothing is shared."""
        return None if self._prefixes is None else Sharing(self._prefixes, self._store.beginnings, model)

    def begin(self, key: SessionKey, model: ModelMark) -> Conversation:
        """A session before its first turn."""
        return self._store.begin(key, model)

    def commit(self, conversation: Conversation) -> None:
        """Take a conversation with one more turn: the next one finds it at once; it is saved in the background."""
        self._warm.put(conversation)
        self._write_back.put(conversation)

    def rewrite(self, conversation: Conversation) -> None:
        """Take a conversation in place of whatever the session said before."""
        # First: else it could be taken up behind what it is not an answer to.
        self.forget_answer(conversation.key)
        self.commit(conversation)

    def whole(self, key: SessionKey) -> Conversation | None:
        """A conversation with its own model's keys and values, whichever model that is; `None`: there is none.

        Raises:
            SessionError: the disk does not give it, or what is on it must not be touched.
        """
        known = self.find(key)
        if known is not None:
            return known
        found = self._loaded(key, None)
        found = found and self._loaded(key, found.conversation.model)
        return None if found is None else found.conversation

    def wait_saved(self, key: SessionKey, timeout_seconds: float) -> bool:
        """Wait until a session is on disk. False: it is not yet."""
        return self._write_back.wait_saved(key, timeout_seconds)

    def info(self, known: Conversation) -> SessionInfo:
        """What its owner sees of a conversation that was committed."""
        try:
            entry = self._store.entry(known.key)
        except OSError:
            entry = None
        is_saved = entry is not None and self._write_back.find(known.key) is None
        return saved_info(entry, self._ttl) if entry and is_saved else self.unsaved_info(known)

    def unsaved_info(self, known: Conversation) -> SessionInfo:
        """As `info`, of one that is not on disk yet, as far as one can tell without asking."""
        return unsaved_info(known, self._ttl)

    def sessions(self, tenant: str) -> tuple[SessionInfo, ...]:
        """A tenant's sessions, the last used first. Raises SessionError where the disk does not tell."""
        try:
            known = {entry.session_id: saved_info(entry, self._ttl) for entry in self._store.entries(tenant)}
        except OSError as error:
            raise SessionError(f"The sessions cannot be listed: {error}. The daemon's log has more.") from error
        for unsaved in self._write_back.unsaved_of(tenant):
            known[unsaved.key.session_id] = unsaved_info(unsaved, self._ttl)
        return tuple(sorted(known.values(), key=lambda each: -each.last_used))

    def describe(self, key: SessionKey) -> tuple[SessionInfo, Conversation] | None:
        """A session and what was said; `None`: there is none. Raises SessionError where the disk does not tell."""
        known = self.find(key)
        if known is not None:
            return self.info(known), known
        found = self._loaded(key, None)
        if found is None:
            return None
        known = found.conversation
        return self.info(known) if found.is_saved else unsaved_info(known, self._ttl), known

    def delete(self, key: SessionKey) -> bool:
        """Forget a session. False: there is none. Raises SessionError where the disk refuses, and it is still there."""
        unsaved = self._write_back.find(key)
        known = unsaved is not None or self.find(key) is not None or self._kept.is_told(key)
        self.last_answers.forget_before_removal(key)
        self._write_back.forget(key)
        try:
            there = self._store.delete(key)
        except OSError as error:
            if unsaved is not None:
                self._write_back.put(unsaved)
            raise SessionError(f"Session {key.session_id!r} cannot be removed: {error}. Try again.") from error
        self._warm.forget(key)
        return there or known

    def forget_answer(self, key: SessionKey) -> None:
        """See LastAnswers.forget."""
        self.last_answers.forget(key)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all is saved. False: not all is."""
        return self._write_back.flush(timeout_seconds)

    def stop(self, timeout_seconds: float) -> bool:
        """Save what is unsaved, and give the folder back. False: not all of it could be saved, in time or at all."""
        until = time.monotonic() + timeout_seconds
        journalled = self.answers.stop(timeout_seconds)
        saved = self._write_back.stop(max(0.0, until - time.monotonic())) and journalled
        if self._write_back.is_whole or self.answers.is_whole:
            # One is still writing, and the folder is its own as long as it does.
            return False
        self._store.close()
        return saved

    def without(self, key: SessionKey, model: ModelMark, why: CacheMiss) -> Recalled:
        """An empty conversation, and why it is empty."""
        return Recalled(self._store.begin(key, model), CacheReport(miss=why))

    def _loaded(self, key: SessionKey, model: ModelMark | None) -> Loaded | None:
        try:
            found = self._kept.load(key, model)
        except OSError as error:
            raise SessionError(f"Session {key.session_id!r} cannot be read: {error}.") from error
        if found is CacheMiss.DAMAGED:
            raise SessionError(
                f"Session {key.session_id!r} is damaged: nothing of its file can be read. Delete it, or begin it anew "
                "with the next question."
            )
        return None if isinstance(found, CacheMiss) else found


def _recalled(known: Conversation, model: ModelMark, tier: CacheTier, miss: CacheMiss | None) -> Recalled:
    changed = CacheMiss.MODEL_CHANGED if known.model != model else None
    return Recalled(known.of(model), CacheReport(tier=tier, miss=changed or miss))
