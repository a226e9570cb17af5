"""A conversation as one file that another daemon may take: the records of a session's file, written whole.

    MODEL   what the tokens, keys and values are of use to; of the session its name, and of the tenant nothing
    TURN    all that was said, and its tokens; none where nothing was
    KV      keys and values, each behind the last and nothing else in them; none or some
    END     how many records there are before it; who breaks off in the middle looks like who has sent all

A file comes from a stranger, whatever it says. Everything in it is bounded before it is read and checked before it is
used, and of its keys and values it is the model that is served here that says how large they are.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from autoglmd.errors.request import InvalidArgumentError
from autoglmd.errors.session import SessionLockedError
from autoglmd.host.disk import OpenFile, Piece
from autoglmd.messages.sessions import PAGE_TOKENS, KvBlock, SessionKey, new_stamp
from autoglmd.sessions.additions import kv_record, opening, turn_record
from autoglmd.sessions.bodies import unpacked
from autoglmd.sessions.conversation import Conversation, ModelMark, Turn, TurnMark
from autoglmd.sessions.layout import trimmed
from autoglmd.sessions.log import turn_of
from autoglmd.sessions.record import Kind, Record, encode, is_body_whole, read_body, records
from autoglmd.sessions.seal import Plain

# No context is longer, and no contract's number larger.
MOST_TOKENS = 1 << 20
_MOST_NUMBER = (1 << 31) - 1
# Text and ids of the longest conversation, several times over; read at once, and more in Python's objects.
_MOST_META_BYTES = 16 << 20
_MOST_RECORDS = 1 << 16
# Of keys and values, beside the pages of prompts: a few for each turn.
_MOST_BLOCKS = 1 << 12
_NAME_CHARACTERS = 1024
# What zstd adds at most to what it cannot make smaller, and more.
_FRAME_BYTES = 1 << 10
_LATEST = 1e11
"""Seconds since 1970, in the year 5138."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A model that is served here, which may use keys and values of a file.

    Attributes:
        context_tokens: its longest sequence.
    """

    mark: ModelMark
    context_tokens: int


def exported(told: Conversation) -> Iterator[Piece]:
    """The file's pieces, in order; keys and values are compressed as they are asked for.

    Args:
        told: with the data of its blocks.
    """
    count = 1
    yield from encode(*opening(replace(told, key=SessionKey("", told.key.session_id), is_foreign=False)))
    if told.turns:
        count += 1
        turn = Turn(told.turns, told.last_used, 0, told.ids, 0, told.messages, told.marks)
        yield from encode(*turn_record(turn))
    for block in told.blocks:
        alone = trimmed(block, told.model.kv)
        if alone is None:
            # What lies behind a gap is of no use.
            break
        count += 1
        yield from encode(*kv_record(alone))
    yield from encode(Kind.END, {"records": count})


def imported(file: OpenFile, key: SessionKey, readers: Mapping[str, Reader], now: float) -> Conversation:
    """The conversation in a file, as that session, used now.

    Args:
        file: whatever somebody sent.
        key: whose it becomes.
        readers: models that are served, by name; keys and values of all others are left out.
        now: seconds since 1970.

    Raises:
        InvalidArgumentError: it is not whole, or not what a daemon writes.
        OSError: the disk does not give it.
        SessionNewerError: a newer program wrote it.
    """
    try:
        found = _records(file)
    except SessionLockedError:
        raise _not_whole("is a session's own file, encrypted, and no export") from None
    try:
        told = _told(found, key, now)
        _check(told)
        blocks = _blocks(file, found, told, readers.get(told.model.name))
        return replace(told, blocks=blocks, is_foreign=bool(blocks))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _not_whole("holds what no daemon writes") from error


def _records(file: OpenFile) -> list[Record]:
    """All records but the last, which says how many that are."""
    found: list[Record] = []
    meta_bytes = at = 0
    for record in records(file, Plain(), _MOST_META_BYTES):
        meta_bytes += record.offset - at
        at = record.end
        found.append(record)
        if meta_bytes > _MOST_META_BYTES or len(found) > _MOST_RECORDS:
            raise _not_whole(f"has more than {_MOST_META_BYTES} bytes of text, or {_MOST_RECORDS} records")
    if not found or at != file.size:
        raise _not_whole(f"is damaged or cut off behind byte {at} of {file.size}")
    last = found.pop()
    if last.kind != Kind.END or last.body_bytes or last.meta != {"records": len(found)}:
        raise _not_whole(f"ends before its end, behind {len(found) + 1} records")
    return found


def _told(found: list[Record], key: SessionKey, now: float) -> Conversation:
    head, *rest = found
    said = [each for each in rest if each.kind == Kind.TURN]
    kinds = [each.kind for each in found]
    is_one = kinds[0] == Kind.MODEL and kinds.count(Kind.MODEL) == 1 and len(said) <= 1
    if not is_one or any(each.body_bytes for each in (head, *said)):
        raise ValueError("not the records of a file written whole")
    created = float(head.meta["created"])
    told = Conversation(key, _mark(head.meta["model"]), created=min(created, now), last_used=now)
    for turn in (turn_of(each.meta) for each in said):
        if turn.start or turn.first_message or not turn.number:
            raise ValueError("a turn that goes on with what is not there")
        told = told.after(replace(turn, at=now))
    return told


def _mark(meta: dict[str, Any]) -> ModelMark:
    mark = ModelMark(**meta)
    texts = (mark.name, mark.version, mark.tokenizer, mark.kv)
    # An exact type: a bool is an int as well.
    if type(mark.kv_bytes_per_token) is not int or not all(isinstance(each, str) for each in texts):
        raise TypeError("a model's mark of other types")
    if not all(each.isprintable() and len(each) <= _NAME_CHARACTERS for each in texts):
        raise ValueError("a model's mark that cannot be shown")
    return mark


def _check(told: Conversation) -> None:
    """Raises ValueError where a number or a text would do harm further on."""
    if len(told.ids) > MOST_TOKENS or not 0 <= min(told.ids, default=0) <= max(told.ids, default=0) <= _MOST_NUMBER:
        raise ValueError("token ids out of range")
    if not math.isfinite(told.created) or not 0 <= told.created <= _LATEST:
        raise ValueError("a time out of range")
    if not 0 <= told.turns <= _MOST_NUMBER:
        raise ValueError("a number of turns out of range")
    for message in told.messages:
        # Half a surrogate pair is no text, and nothing behind us could write it.
        (message.role + message.content).encode()
        if not 0 < len(message.role) <= _NAME_CHARACTERS:
            raise ValueError("a message by nobody, or by a name that no template has")
    _check_marks(told)


def _check_marks(told: Conversation) -> None:
    before = TurnMark(0, 0, 0, 0)
    for mark in told.marks:
        in_order = before.number < mark.number <= told.turns and before.messages < mark.messages <= len(told.messages)
        if not in_order or not before.end <= mark.answer_start <= mark.end <= len(told.ids):
            raise ValueError("a turn out of its place")
        before = mark


def _blocks(file: OpenFile, found: list[Record], told: Conversation, reader: Reader | None) -> tuple[KvBlock, ...]:
    """Keys and values, without a gap, if they are a served model's; whose else they are is not even read."""
    is_ours = reader is not None and reader.mark == told.model
    blocks: list[KvBlock] = []
    start, stamp = 0, new_stamp()
    kept = [each for each in found if each.kind == Kind.KV]
    if len(kept) > len(told.ids) // PAGE_TOKENS + _MOST_BLOCKS:
        raise ValueError("keys and values in more pieces than any daemon keeps")
    for record in kept:
        tokens = record.meta["tokens"]
        is_next = type(tokens) is int and record.meta["start"] == start and tokens == record.meta["held"]
        if not is_next or not 0 < tokens <= len(told.ids) - start:
            raise ValueError("keys and values of nothing that was said")
        if is_ours and reader is not None and start + tokens <= reader.context_tokens:
            data = _data(file, record, tokens * reader.mark.kv_bytes_per_token)
            blocks.append(KvBlock(start, tokens, tokens, data, stamp))
        else:
            # Nobody will read it, and a file that is damaged is refused all the same.
            _demand(is_body_whole(file, record))
        start += tokens
    return tuple(blocks)


def _data(file: OpenFile, record: Record, size: int) -> memoryview:
    if record.body_bytes > size + size // 64 + _FRAME_BYTES:
        raise ValueError("keys and values that are larger packed than unpacked")
    data = unpacked(record, read_body(file, record, Plain()), size)
    _demand(data is not None)
    # As from a session's own file: of plain bytes nobody can tell that they are let go.
    return memoryview(data or b"")


def _demand(is_whole: bool) -> None:
    if not is_whole:
        raise _not_whole("has damaged keys and values")


def _not_whole(what: str) -> InvalidArgumentError:
    return InvalidArgumentError("data", f"{what}, so it is no whole session. Export it once more.")
