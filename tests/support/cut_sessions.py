"""What tests of cut sessions share: boxes with a desk, and conversations compared to the last bit."""

from collections.abc import AsyncIterator

from autoglmd.host.clock import SystemClock
from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline.session_desk import SessionDesk
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.layout import trimmed
from tests.support.session_box import Box

LONG = 40
"""Tokens of the answer that tells: enough for a last bit to show, where it does at all."""


def key_of(session: str) -> SessionKey:
    """As a box's requests have it."""
    return SessionKey("local", session)


def desk_of(box: Box) -> SessionDesk:
    """A desk over a box's book."""
    return SessionDesk(box.book, box.gateway.catalog.speakers, SystemClock().wall)


def told_of(box: Box, session: str = "s") -> Conversation:
    """A conversation with its keys and values, from wherever it is."""
    told = box.book.whole(key_of(session))
    assert told is not None
    return told


def substance(told: Conversation) -> tuple[object, ...]:
    """All that the next answer depends on, keys and values to the last bit."""
    alone = [trimmed(block, told.model.kv) for block in told.blocks]
    kv = [(block.start, block.stop, bytes(block.data)) for block in alone if block is not None]
    assert len(kv) == len(told.blocks)
    return told.ids, told.messages, told.turns, told.marks, told.model, tuple(kv)


async def pieces_of(*pieces: bytes) -> AsyncIterator[bytes]:
    """As a client sends them."""
    for piece in pieces:
        yield piece
