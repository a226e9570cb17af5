"""What is written to a session's file: the records that a turn adds, or all of them."""

from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from typing import Any

import zstandard

from autoglmd.host.disk import Piece
from autoglmd.messages.sessions import KvBlock
from autoglmd.sessions.bodies import STORED
from autoglmd.sessions.conversation import Conversation, Turn, common_beginning
from autoglmd.sessions.cut import kv_until
from autoglmd.sessions.record import Kind, RecordWriter

# More effort buys nothing.
_COMPRESSION_LEVEL = 1
# Keys and values in 8 bits are close to noise. What saves less is not worth what it costs whoever saves and goes on.
_LEAST_SAVED = 1 / 8
_SAMPLE_BYTES, _SAMPLE_EVERY = 512, 8192
Contents = tuple[Kind, dict[str, Any], Piece]
"""Kind, meta and body of a record, before it is known how it will be written."""


@dataclass(frozen=True, slots=True)
class Addition:
    """Records to be written.

    Attributes:
        kv_tokens: positions of those that hold keys and values.
        told: what the file holds then, without data. It may have more keys and values than it was given.
        mark: what the next record is bound to.
    """

    pieces: tuple[Piece, ...]
    kv_tokens: int
    told: Conversation
    mark: bytes


def addition(before: Conversation, after: Conversation, writer: RecordWriter) -> Addition:
    """The records that make the one conversation the other; none if it is that already.

    Where the first has another model, or fewer of the keys and values than it should, or others, those are made up for.
    Of blocks that the second one has without data, those that the first one has as well stay, and no others.
    """
    if before.model != after.model:
        writer.add(*opening(after))
    told = before.of(after.model)
    then = replace(after, blocks=told.blocks_until(_add_turn(told, after, writer)))
    lacking = _lacking(then.blocks, after.blocks)
    new = tuple(takewhile(lambda block: block.data, lacking))
    for block in new:
        writer.add(*kv_record(block))
    if lacking and not new and lacking[0].start < then.kv_tokens:
        # What is there was computed otherwise, and what is wanted is not to be had: the file is to hold neither.
        writer.add(Kind.KV, {"start": lacking[0].start, "tokens": 0, "held": 0})
    kept = then.blocks_until(lacking[0].start) if lacking else then.blocks
    then = replace(then, blocks=(*kept, *new)).without_data()
    return Addition(tuple(writer.pieces), sum(block.held for block in new), then, writer.mark)


def _add_turn(told: Conversation, after: Conversation, writer: RecordWriter) -> int:
    """Write what was said that the one has and the other has not. Returns up to where keys and values stay."""
    start, first = common_beginning(told.ids, after.ids), common_beginning(told.messages, after.messages)
    if start == len(after.ids) < len(told.ids):
        # Cut short: what only those who went on have computed goes as well.
        start = min(start, kv_until(told, start))
    marks = tuple(mark for mark in after.marks if mark.end > start)
    turn = Turn(after.turns, after.last_used, start, after.ids[start:], first, after.messages[first:], marks)
    is_said = turn.number == told.turns and start == len(told.ids) and first == len(told.messages)
    if turn.ids or turn.messages or not is_said:
        writer.add(*turn_record(turn))
    return start


def _lacking(there: tuple[KvBlock, ...], wanted: tuple[KvBlock, ...]) -> tuple[KvBlock, ...]:
    """Those from the first on that is not there."""
    pairs = zip(wanted, there, strict=False)
    return wanted[sum(1 for _ in takewhile(lambda pair: pair[0].is_in(pair[1]), pairs)) :]


def whole(conversation: Conversation, writer: RecordWriter) -> Addition:
    """All records of a file that holds this conversation."""
    # Fewer turns than any has: of one in which nothing is said, there is still to tell when it was used.
    empty = replace(conversation, last_used=conversation.created, ids=(), messages=(), blocks=(), turns=-1)
    writer.add(*opening(conversation))
    return addition(empty, conversation, writer)


def opening(conversation: Conversation) -> Contents:
    """The MODEL record."""
    key = {"tenant": conversation.key.tenant, "session": conversation.key.session_id}
    foreign = {"foreign": True} if conversation.is_foreign else {}
    meta = {**key, "created": conversation.created, "model": asdict(conversation.model), **foreign}
    return Kind.MODEL, meta, b""


def turn_record(turn: Turn) -> Contents:
    """A TURN record."""
    return Kind.TURN, asdict(turn), b""


def kv_record(block: KvBlock) -> Contents:
    """Keys and values, whole: also those positions of `data` that no longer hold good."""
    meta = {"start": block.start, "tokens": block.tokens, "held": block.held}
    if block.stamp:
        meta["stamp"] = block.stamp
    data = memoryview(block.data)
    if _is_noise(data):
        return Kind.KV, meta | {STORED: True}, data
    return Kind.KV, meta, zstandard.ZstdCompressor(_COMPRESSION_LEVEL).compress(data)


def _is_noise(data: memoryview) -> bool:
    """Whether compressing is effort badly spent, by samples from all over: layers differ."""
    sample = b"".join(data[at : at + _SAMPLE_BYTES] for at in range(0, len(data), _SAMPLE_EVERY))
    saved = len(sample) - len(zstandard.ZstdCompressor(_COMPRESSION_LEVEL).compress(sample))
    return saved < _LEAST_SAVED * len(sample)
