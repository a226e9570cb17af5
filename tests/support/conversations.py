"""Conversations for tests: turns with keys and values that tell where they belong."""

from dataclasses import replace

from autoglmd.messages import KvBlock, Message, SessionKey
from autoglmd.sessions.conversation import Conversation, ModelMark, Turn

KEY = SessionKey("local", "home")
MODEL = ModelMark("tiny", "0123456789ab", "feedbeef", "int8 2x[1, n, 2]", 4)
NOW = 1_000_000.0


def empty(key: SessionKey = KEY, model: ModelMark = MODEL) -> Conversation:
    """A session before its first turn."""
    return Conversation(key, model, NOW, NOW)


def turn_after(told: Conversation, text: str, tokens: int = 5) -> tuple[Turn, KvBlock]:
    """A turn of so many tokens, and keys and values as an engine would give them: all but the last token's.

    Both tell whose session they are of, and where they belong.
    """
    start, mark = len(told.ids), sum(told.key.session_id.encode()) % 97
    ids = tuple(range(start + 1000 * mark, start + 1000 * mark + tokens))
    messages = (Message("user", text), Message("assistant", text[::-1]))
    turn = Turn(told.turns + 1, told.last_used + 1, start, ids, len(told.messages), messages)
    first = told.kv_tokens
    held = start + tokens - 1 - first
    size = MODEL.kv_bytes_per_token
    data = bytes((mark + first + index // size) % 251 for index in range(held * size))
    return turn, KvBlock(first, held, held, data)


def grown(told: Conversation, *texts: str) -> Conversation:
    """The conversation with a turn for each text."""
    for text in texts:
        turn, block = turn_after(told, text)
        told = told.after(turn).having(block)
    return told


def without_kv(told: Conversation) -> Conversation:
    """What was said, alone."""
    return replace(told, blocks=())
