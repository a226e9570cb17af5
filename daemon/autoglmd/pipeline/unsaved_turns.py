"""Turns that were told and not saved before the daemon was killed: only the journal of answers has them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from autoglmd.messages.sessions import CacheMiss, SessionKey
from autoglmd.sessions.answer import Answer
from autoglmd.sessions.conversation import Conversation, ModelMark, Turn
from autoglmd.sessions.last_turns import with_turn
from autoglmd.sessions.store import SessionStore

log = logging.getLogger(__name__)

_NOTHING = (CacheMiss.NEW_SESSION, CacheMiss.DAMAGED)
"""After which the first turn may be in the journal: nothing was saved yet, or the kill tore it."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is kept of a session.

    Attributes:
        damaged: whether something of it could not be read.
        is_saved: whether the session's file has all of it.
    """

    conversation: Conversation
    damaged: bool
    is_saved: bool = True


class UnsavedTurns:
    """Reads sessions from disk, with the turn that their files lack. Safe from any thread."""

    def __init__(self, store: SessionStore, last_turn: Callable[[SessionKey], tuple[Answer, Turn] | None]) -> None:
        """`last_turn`: see Journalling."""
        self._store = store
        self._last_turn = last_turn

    def load(self, key: SessionKey, model: ModelMark | None) -> Loaded | CacheMiss:
        """See SessionStore.load. The turn that comes back has no keys and values."""
        found = self._store.load(key, model)
        if isinstance(found, CacheMiss):
            return self._first(key, found) if found in _NOTHING else found
        whole = self._with_last(key, found.conversation)
        return Loaded(found.conversation, found.damaged) if whole is None else Loaded(whole, False, is_saved=False)

    def is_told(self, key: SessionKey) -> bool:
        """Whether a session's last answer is remembered, be it saved or not."""
        return self._last(key) is not None

    def _first(self, key: SessionKey, why: CacheMiss) -> Loaded | CacheMiss:
        """A session of which nothing is on disk."""
        whole = self._with_last(key, None)
        is_there = whole is not None and not self._store.is_expired(whole)
        return Loaded(whole, False, is_saved=False) if whole is not None and is_there else why

    def _with_last(self, key: SessionKey, told: Conversation | None) -> Conversation | None:
        last = self._last(key)
        return None if last is None else with_turn(key, told, *last)

    def _last(self, key: SessionKey) -> tuple[Answer, Turn] | None:
        try:
            return self._last_turn(key)
        except OSError as error:
            log.warning("%s", error)
            return None
