"""Conversations in memory, the last used of them, within a bound on their bytes."""

from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.memory import Memory


class WarmConversations:
    """Safe from any thread. What is taken away here is still on disk, or waits to be written there."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    @property
    def count(self) -> int:
        """How many they are."""
        return self._memory.count(Conversation)

    def find(self, key: SessionKey) -> Conversation | None:
        """The conversation, which counts as used now; `None`: it is not here."""
        found = self._memory.find(key)
        return found if isinstance(found, Conversation) else None

    def put(self, conversation: Conversation) -> None:
        """Add or replace one; the longest unused make room. One that is larger than all the room is not kept."""
        self._memory.put(conversation.key, conversation, conversation.blocks, conversation.text_bytes)

    def forget(self, key: SessionKey) -> None:
        """Let go of one; none is fine."""
        self._memory.forget(key)
