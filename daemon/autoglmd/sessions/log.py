"""A session's file: appended to turn by turn, and read back into a conversation.

    MODEL   whose session it is, and what the tokens, keys and values behind it are of use to
    TURN    what was said, and its tokens, from a message and a position on; it replaces what was there
    KV      keys and values of some of them, compressed

A turn appends what it added and nothing else. Recovery is reading: a torn end is not read, and the next turn is written
in its place; damaged keys and values cost the time to compute them again; a damaged turn costs itself and what follows.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import zstandard

from autoglmd.errors import SessionError
from autoglmd.host.disk import Disk, OpenFile, Piece
from autoglmd.messages import KvBlock, Message, SessionKey
from autoglmd.sessions.conversation import Conversation, ModelMark, Turn
from autoglmd.sessions.record import Kind, Record, encode, read_body, records

# Keys and values in 8 bits are close to noise; more effort buys nothing.
_COMPRESSION_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Found:
    """What a file held.

    Attributes:
        end: bytes of whole records; the next is written there.
        damaged: whether anything behind that, or any keys and values before it, could not be used.
        kv_tokens_written: positions of all KV records, those that were replaced included.
    """

    conversation: Conversation
    end: int
    damaged: bool
    kv_tokens_written: int


@dataclass(frozen=True, slots=True)
class Addition:
    """Records to be written, and the positions of those that hold keys and values."""

    pieces: tuple[Piece, ...]
    kv_tokens: int


def addition(before: Conversation, after: Conversation) -> Addition:
    """The records that make the one conversation the other; none if it is that already.

    Where the first has another model, or fewer of the keys and values than it should, those are made up for.
    """
    opening = () if before.model == after.model else _opening(after)
    told = before.of(after.model)
    start, first = _common(told.ids, after.ids), _common(told.messages, after.messages)
    turn = Turn(after.turns, after.last_used, start, after.ids[start:], first, after.messages[first:])
    is_said = turn.number == told.turns and start == len(told.ids) and first == len(told.messages)
    said = () if is_said and not (turn.ids or turn.messages) else _turn_record(turn)
    new = [block for block in after.blocks if block.stop > min(start, told.kv_tokens)]
    pieces = (*opening, *said, *(piece for block in new for piece in _kv_record(block)))
    return Addition(pieces, sum(block.held for block in new))


def whole(conversation: Conversation) -> Addition:
    """All records of a file that holds this conversation."""
    empty = replace(conversation, last_used=conversation.created, ids=(), messages=(), blocks=(), turns=0)
    rest = addition(empty, conversation)
    return Addition((*_opening(conversation), *rest.pieces), rest.kv_tokens)


def _opening(conversation: Conversation) -> tuple[Piece, ...]:
    key = {"tenant": conversation.key.tenant, "session": conversation.key.session_id}
    return encode(Kind.MODEL, {**key, "created": conversation.created, "model": asdict(conversation.model)})


def _turn_record(turn: Turn) -> tuple[Piece, ...]:
    return encode(Kind.TURN, asdict(turn))


def _kv_record(block: KvBlock) -> tuple[Piece, ...]:
    """Keys and values, whole: also those positions of `data` that no longer hold good."""
    body = zstandard.ZstdCompressor(_COMPRESSION_LEVEL).compress(block.data)
    return encode(Kind.KV, {"start": block.start, "tokens": block.tokens, "held": block.held}, body)


def _common(one: tuple[Any, ...], other: tuple[Any, ...]) -> int:
    """How many elements two tuples begin with alike."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return next(index for index in range(shorter) if one[index] != other[index])


def read(disk: Disk, path: Path, key: SessionKey | None, model: ModelMark | None) -> Found | None:
    """The conversation in a file, or `None` if there is no such file or nothing whole in it.

    Args:
        disk: where it lies.
        path: the file.
        key: whose it must be; `None` for whose it is.
        model: whose keys and values to read; another model's are left out. With `None` blocks have no data.

    Raises:
        OSError: the disk does not give it.
        SessionError: it is another session's, or a newer program's.
    """
    try:
        with disk.reading(path) as file:
            return _read(file, key, model)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _read(file: OpenFile, key: SessionKey | None, model: ModelMark | None) -> Found | None:
    fold = _Fold(key)
    end = 0
    for record in records(file):
        if not fold.take(record):
            break
        end = record.end
    told = fold.conversation
    if told is None:
        return None
    torn = end < file.size
    if model is None:
        return Found(told, end, torn, fold.kv_tokens)
    if told.model != model:
        return Found(replace(told, blocks=()), end, torn, fold.kv_tokens)
    blocks = tuple(_filled(told, fold.kv, file))
    return Found(replace(told, blocks=blocks), end, torn or len(blocks) < len(told.blocks), fold.kv_tokens)


class _Fold:
    """Takes records one by one. Blocks have no data yet: which of them are wanted is known at the end alone.

    Attributes:
        conversation: what the records come to.
        kv: the record of each block, by its start.
        kv_tokens: positions of all KV records.
    """

    def __init__(self, key: SessionKey | None) -> None:
        self._key = key
        self.conversation: Conversation | None = None
        self.kv: dict[int, Record] = {}
        self.kv_tokens = 0

    def take(self, record: Record) -> bool:
        """Take a record. False: it cannot be what a daemon wrote.

        Raises:
            SessionError: it is another session's.
        """
        try:
            self._take(record)
        except (KeyError, TypeError, ValueError, OverflowError):
            return False
        return self.conversation is not None

    def _take(self, record: Record) -> None:
        meta = record.meta
        match record.kind:
            case Kind.MODEL:
                self._begin(meta)
            case Kind.TURN if self.conversation is not None:
                self.conversation = self.conversation.after(_turn(meta))
            case Kind.KV if self.conversation is not None:
                self._take_kv(KvBlock(int(meta["start"]), int(meta["tokens"]), int(meta["held"]), b""), record)

    def _take_kv(self, block: KvBlock, record: Record) -> None:
        self.kv_tokens += block.held
        if self.conversation is not None and self.conversation.takes(block):
            self.conversation = self.conversation.having(block)
            self.kv[block.start] = record

    def _begin(self, meta: dict[str, Any]) -> None:
        key = SessionKey(str(meta["tenant"]), str(meta["session"]))
        if self._key not in (None, key):
            raise SessionError(f"The file of session {self._key} holds {key}. Delete the session.")
        model = ModelMark(**meta["model"])
        created = float(meta["created"])
        begun = self.conversation or Conversation(key, model, created, created)
        self.conversation = begun.of(model)
        self.kv.clear()


def _turn(meta: dict[str, Any]) -> Turn:
    return Turn(
        number=int(meta["number"]),
        at=float(meta["at"]),
        start=int(meta["start"]),
        ids=tuple(map(int, meta["ids"])),
        first_message=int(meta["first_message"]),
        messages=tuple(Message(str(each["role"]), str(each["content"])) for each in meta["messages"]),
    )


def _filled(told: Conversation, kv: dict[int, Record], file: OpenFile) -> Iterator[KvBlock]:
    """Its blocks with their data, up to the first that was damaged."""
    for block in told.blocks:
        data = _unpacked(read_body(file, kv[block.start]), block.held * told.model.kv_bytes_per_token)
        if data is None:
            return
        yield replace(block, data=data)


def _unpacked(body: bytes | None, size: int) -> bytes | None:
    """`size` bytes out of a frame that says that it holds as many; `None` if it does not, or is damaged."""
    try:
        if body is None or zstandard.frame_content_size(body) != size:
            return None
        return zstandard.ZstdDecompressor().decompress(body)
    except zstandard.ZstdError:
        return None
