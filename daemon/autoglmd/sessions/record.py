"""How one record lies in a session's file, and how it is found whole, torn, damaged or newer than we are.

A file is a line of records, each behind the last:

    magic "AGLS" | version u16 | kind u16 | meta bytes u32 | body bytes u64 | body CRC u32 | head CRC u32 | meta | body

little-endian. `meta` is a JSON object; `body` is bytes, mostly keys and values. The head's CRC-32 covers everything
before it and the meta, so that a flipped bit anywhere is noticed and a damaged body costs only itself: text and token
ids are in the meta.

Version 2 is the same with meta and body sealed, each by itself; its body has a tag instead of a CRC. A meta is bound to
its head, to the file's name and to the tag of the meta before it, a body to the file's name and its meta. So what opens
is the beginning of a line that was written to this file: records that were exchanged, left out, added or brought from
elsewhere do not open. An end that was cut off looks like one that was torn off.
"""

import json
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from zlib_ng.zlib_ng import crc32

from autoglmd.errors.session import SessionLockedError, SessionNewerError
from autoglmd.host.disk import OpenFile, Piece
from autoglmd.sessions.seal import Plain, Seal

PLAIN_VERSION = 1
SEALED_VERSION = 2
MAGIC = b"AGLS"
MAX_META_BYTES = 64 << 20
_PIECE_BYTES = 1 << 20

_HEAD = struct.Struct("<4sHHIQI")
_CRC = struct.Struct("<I")
HEAD_BYTES = _HEAD.size + _CRC.size
_MARK_BYTES = 16


class Kind(IntEnum):
    """What a record is. Readers pass over kinds that they do not know."""

    MODEL = 1
    TURN = 2
    KV = 3
    END = 4


@dataclass(frozen=True, slots=True)
class Record:
    """A record whose head and meta are whole; the body is read, and judged, when it is wanted.

    Attributes:
        offset: where its body lies in the file.
        end: where the next record begins.
        mark: what the next record is bound to.
    """

    kind: int
    meta: dict[str, Any]
    offset: int
    end: int
    body_crc: int
    mark: bytes

    @property
    def body_bytes(self) -> int:
        """Size of the body."""
        return self.end - self.offset


class RecordWriter:
    """Makes the records that are to be written to a file, each behind the last.

    Attributes:
        pieces: of all of them, in the order in which they are written.
        mark: what the next record will be bound to.
    """

    def __init__(self, seal: Seal, file: str, mark: bytes = b"") -> None:
        """`file`: its name without the suffix. `mark`: the record's that lies before; empty at a file's beginning."""
        self._seal = seal
        self._file = file
        self.mark = mark
        self.pieces: list[Piece] = []

    def add(self, kind: int, meta: dict[str, Any], body: Piece = b"") -> None:
        """One more record."""
        text = json.dumps(meta, ensure_ascii=False, separators=(",", ":")).encode()
        sizes = (len(text) + self._seal.overhead, len(body) + self._seal.overhead if body else 0)
        start = (MAGIC, _version_of(self._seal), kind, *sizes)
        text = self._seal.seal(text, _meta_context(self._file, self.mark, start))
        self.mark = _mark_of(text)
        # What is not encrypted is written from where it lies.
        if body and self._seal.hides:
            body = self._seal.seal(body, _body_context(self._file, self.mark))
        head = _HEAD.pack(*start, 0 if self._seal.hides else crc32(body))
        self.pieces += (head, _CRC.pack(crc32(text, crc32(head))), text, body)


def encode(kind: int, meta: dict[str, Any], body: Piece = b"") -> tuple[Piece, ...]:
    """The pieces of one record that is not encrypted, for what leaves this box."""
    writer = RecordWriter(Plain(), "")
    writer.add(kind, meta, body)
    return tuple(writer.pieces)


def records(file: OpenFile, seal: Seal, most_meta_bytes: int = MAX_META_BYTES) -> Iterator[Record]:
    """The whole records of a file, in order. What follows the last of them is torn or damaged, or larger than allowed.

    Raises:
        OSError: the file cannot be read.
        SessionNewerError: a record's form is newer than this program; nothing may be written behind it.
        SessionLockedError: it is encrypted and there is no key, or the other way about.
    """
    at, mark = 0, b""
    while (record := _read_record(file, at, mark, seal, most_meta_bytes)) is not None:
        yield record
        at, mark = record.end, record.mark


def is_behind(file: OpenFile, at: int, kind: int) -> bool:
    """Whether there is a record of a kind anywhere behind a place, whole by its checksum. Raises OSError."""
    while at < file.size:
        piece = file.read(at, _PIECE_BYTES)
        if any(_is_one(file, at + found.start(), kind) for found in re.finditer(MAGIC, piece)):
            return True
        # The next piece begins where a magic may that this one cuts off.
        at += max(1, len(piece) - len(MAGIC) + 1)
    return False


def read_body(file: OpenFile, record: Record, seal: Seal) -> bytes | None:
    """A record's body; `None` if it is not what was written. Raises OSError."""
    return checked_body(file, record, read_raw_body(file, record), seal)


def read_raw_body(file: OpenFile, record: Record) -> bytes:
    """What lies in the place of a record's body, as far as the file goes. Raises OSError."""
    return file.read(record.offset, record.body_bytes)


def checked_body(file: OpenFile, record: Record, raw: bytes, seal: Seal) -> bytes | None:
    """The body that was read; `None` if it is not what was written. Asks no disk."""
    if len(raw) < record.body_bytes:
        return None
    if seal.hides:
        return seal.open(raw, _body_context(file.path.stem, record.mark)) if raw else raw
    return raw if crc32(raw) == record.body_crc else None


def is_body_whole(file: OpenFile, record: Record) -> bool:
    """Whether the body of a record that is not encrypted is what was written; it is not held in memory.

    Raises:
        OSError: the disk does not give it.
    """
    crc = 0
    for at in range(record.offset, record.end, _PIECE_BYTES):
        crc = crc32(file.read(at, min(_PIECE_BYTES, record.end - at)), crc)
    return crc == record.body_crc


def is_sealed(file: OpenFile) -> bool:
    """Whether a file begins with an encrypted record. Raises OSError."""
    head = file.read(0, HEAD_BYTES)
    return len(head) == HEAD_BYTES and _HEAD.unpack_from(head)[:2] == (MAGIC, SEALED_VERSION)


def _read_record(file: OpenFile, at: int, mark: bytes, seal: Seal, most_meta_bytes: int) -> Record | None:
    head = file.read(at, HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return None
    *start, body_crc = _HEAD.unpack_from(head)
    magic, version, kind, meta_bytes, body_bytes = start
    if magic != MAGIC:
        return None
    offset = at + HEAD_BYTES + meta_bytes
    # Bounded before it is read: the numbers are a disk's word.
    is_bounded = meta_bytes <= most_meta_bytes and offset + body_bytes <= file.size
    text = file.read(at + HEAD_BYTES, meta_bytes) if is_bounded else b""
    if version > SEALED_VERSION:
        if is_bounded and _was_ours(head, text):
            return None
        raise SessionNewerError(file.path, version, SEALED_VERSION)
    if not (is_bounded and _is_whole(head, text)):
        return None
    _check_version(file.path, version, seal)
    opened = seal.open(text, _meta_context(file.path.stem, mark, start))
    meta = None if opened is None else _meta(opened)
    return None if meta is None else Record(kind, meta, offset, offset + body_bytes, body_crc, _mark_of(text))


def _is_whole(head: bytes, text: bytes) -> bool:
    return _CRC.pack(crc32(text, crc32(head[: _HEAD.size]))) == head[_HEAD.size :]


def _is_one(file: OpenFile, at: int, kind: int) -> bool:
    head = file.read(at, HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return False
    _, _, its_kind, meta_bytes, _, _ = _HEAD.unpack_from(head)
    is_bounded = meta_bytes <= min(MAX_META_BYTES, file.size - at)
    return its_kind == kind and is_bounded and _is_whole(head, file.read(at + HEAD_BYTES, meta_bytes))


def _was_ours(head: bytes, text: bytes) -> bool:
    """Whether the version of a record is all that does not fit in it: a flipped bit, and no newer program."""
    magic, _, *rest = _HEAD.unpack_from(head)
    versions = (PLAIN_VERSION, SEALED_VERSION)
    return any(_is_whole(_HEAD.pack(magic, known, *rest) + head[_HEAD.size :], text) for known in versions)


def _meta(text: bytes) -> dict[str, Any] | None:
    """A JSON object; `None` if it is none, however deep or long what it is instead."""
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return meta if isinstance(meta, dict) else None


def _check_version(path: Path, version: int, seal: Seal) -> None:
    if version != _version_of(seal):
        raise SessionLockedError(path, has_key=seal.hides)


def _version_of(seal: Seal) -> int:
    return SEALED_VERSION if seal.hides else PLAIN_VERSION


def _mark_of(text: bytes) -> bytes:
    """The tag of a sealed meta. What a plain one's is does not matter."""
    return text[-_MARK_BYTES:]


def _meta_context(file: str, mark: bytes, start: Sequence[Any]) -> bytes:
    return b"meta %b %b %b" % (file.encode(), mark.hex().encode(), _HEAD.pack(*start, 0))


def _body_context(file: str, mark: bytes) -> bytes:
    return b"body %b %b" % (file.encode(), mark.hex().encode())
