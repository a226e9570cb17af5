"""Conversations for tests: turns with keys and values that tell where they belong."""

from dataclasses import replace

from autoglmd.messages.generation import Message
from autoglmd.messages.sessions import KvBlock, SessionKey
from autoglmd.sessions.conversation import Conversation, ModelMark, Turn, TurnMark

KEY = SessionKey("local", "home")
MODEL = ModelMark("tiny", "0123456789ab", "feedbeef", "int8 2x[1, n, 2]", 4)
NOW = 1_000_000.0


def empty(key: SessionKey = KEY, model: ModelMark = MODEL) -> Conversation:
    """A session before its first turn."""
    return Conversation(key, model, NOW, NOW)


def mark_of(key: SessionKey) -> int:
    """A number that tells a session from others, most likely."""
    return sum(key.session_id.encode()) % 97


def ids_at(mark: int, start: int, stop: int) -> tuple[int, ...]:
    """The tokens of positions start..stop."""
    return tuple(range(1000 * mark + start, 1000 * mark + stop))


def kv_at(mark: int, start: int, stop: int) -> bytes:
    """Their keys and values."""
    return b"".join(bytes([(mark + position) % 251]) * MODEL.kv_bytes_per_token for position in range(start, stop))


def turn_after(told: Conversation, text: str, tokens: int = 5) -> tuple[Turn, KvBlock]:
    """A turn of so many tokens, and keys and values as an engine would give them: all but the last token's.

    Both tell whose session they are of, and where they belong.
    """
    start, mark = len(told.ids), mark_of(told.key)
    ids = ids_at(mark, start, start + tokens)
    messages = (Message("user", text), Message("assistant", text[::-1]))
    number, said = told.turns + 1, len(told.messages)
    mark_of_turn = TurnMark(number, start + tokens // 2, start + tokens, said + len(messages))
    turn = Turn(number, told.last_used + 1, start, ids, said, messages, (mark_of_turn,))
    first, stop = told.kv_tokens, start + tokens - 1
    return turn, KvBlock(first, stop - first, stop - first, kv_at(mark, first, stop))


def grown(told: Conversation, *texts: str) -> Conversation:
    """The conversation with a turn for each text."""
    for text in texts:
        turn, block = turn_after(told, text)
        told = told.after(turn).having(block)
    return told


def without_kv(told: Conversation) -> Conversation:
    """What was said, alone."""
    return replace(told, blocks=())
