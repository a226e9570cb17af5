"""Conversations in memory, the last used of them, within a bound on their bytes."""

import threading
from collections import OrderedDict

from autoglmd.messages import SessionKey
from autoglmd.sessions.conversation import Conversation

# Text and ids of a conversation without keys and values, roughly; so that many small ones are bounded, too.
_BYTES_PER_TOKEN = 64
_BYTES_PER_SESSION = 1024


class WarmConversations:
    """Safe from any thread. What is taken away here is still on disk, or waits to be written there."""

    def __init__(self, memory_bytes: int) -> None:
        self._limit = memory_bytes
        self._lock = threading.Lock()
        self._known: OrderedDict[SessionKey, Conversation] = OrderedDict()
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """What they take, about."""
        with self._lock:
            return self._bytes

    def find(self, key: SessionKey) -> Conversation | None:
        """The conversation, which counts as used now; `None`: it is not here."""
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
            return found

    def put(self, conversation: Conversation) -> None:
        """Add or replace one, and let go of the longest unused beyond the bound. One beyond it alone is not kept."""
        with self._lock:
            self._drop(conversation.key)
            if _size(conversation) > self._limit:
                return
            self._known[conversation.key] = conversation
            self._bytes += _size(conversation)
            while self._bytes > self._limit:
                self._drop(next(iter(self._known)))

    def forget(self, key: SessionKey) -> None:
        """Let go of one; none is fine."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: SessionKey) -> None:
        gone = self._known.pop(key, None)
        if gone is not None:
            self._bytes -= _size(gone)


def _size(conversation: Conversation) -> int:
    return conversation.kv_bytes + _BYTES_PER_TOKEN * len(conversation.ids) + _BYTES_PER_SESSION
