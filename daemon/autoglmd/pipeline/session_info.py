"""What its owner sees of a session."""

from autoglmd.messages.sessions import SessionInfo
from autoglmd.sessions.catalog import Entry
from autoglmd.sessions.conversation import Conversation


def saved_info(entry: Entry, ttl_seconds: float) -> SessionInfo:
    """Of one that is on disk."""
    return SessionInfo(
        session_id=entry.session_id,
        model=entry.model,
        created=entry.created,
        last_used=entry.last_used,
        expires=entry.last_used + ttl_seconds,
        turns=entry.turns,
        tokens=entry.tokens,
        disk_bytes=entry.bytes,
        cached_tokens=entry.cached_tokens,
    )


def unsaved_info(known: Conversation, ttl_seconds: float) -> SessionInfo:
    """Of one that will be."""
    return SessionInfo(
        session_id=known.key.session_id,
        model=known.model.name,
        created=known.created,
        last_used=known.last_used,
        expires=known.last_used + ttl_seconds,
        turns=known.turns,
        tokens=len(known.ids),
        disk_bytes=0,
        cached_tokens=known.kv_tokens,
    )
