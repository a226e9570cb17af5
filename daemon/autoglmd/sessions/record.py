"""How one record lies in a session's file, and how it is found whole, torn, damaged or newer than we are.

A file is a line of records, each behind the last:

    magic "AGLS" | version u16 | kind u16 | meta bytes u32 | body bytes u64 | body CRC u32 | head CRC u32 | meta | body

little-endian. `meta` is a JSON object; `body` is bytes, mostly keys and values. The head's CRC-32 covers everything
before it and the meta, so that a flipped bit anywhere is noticed and a damaged body costs only itself: text and token
ids are in the meta.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from autoglmd.errors import SessionNewerError
from autoglmd.host.disk import OpenFile, Piece

VERSION = 1
MAGIC = b"AGLS"
MAX_META_BYTES = 64 << 20

_HEAD = struct.Struct("<4sHHIQI")
_CRC = struct.Struct("<I")
HEAD_BYTES = _HEAD.size + _CRC.size


class Kind(IntEnum):
    """What a record is. Readers pass over kinds that they do not know."""

    MODEL = 1
    TURN = 2
    KV = 3


@dataclass(frozen=True, slots=True)
class Record:
    """A record whose head and meta are whole; the body is read, and judged, when it is wanted.

    Attributes:
        offset: where its body lies in the file.
        end: where the next record begins.
    """

    kind: int
    meta: dict[str, Any]
    offset: int
    end: int
    body_crc: int

    @property
    def body_bytes(self) -> int:
        """Size of the body."""
        return self.end - self.offset


def encode(kind: Kind, meta: dict[str, Any], body: Piece = b"") -> tuple[Piece, ...]:
    """The pieces of a record, in the order in which they are written."""
    text = json.dumps(meta, ensure_ascii=False, separators=(",", ":")).encode()
    head = _HEAD.pack(MAGIC, VERSION, kind, len(text), memoryview(body).nbytes, zlib.crc32(body))
    return head, _CRC.pack(zlib.crc32(text, zlib.crc32(head))), text, body


def records(file: OpenFile) -> Iterator[Record]:
    """The whole records of a file, in order. What follows the last of them is torn or damaged.

    Raises:
        OSError: the file cannot be read.
        SessionNewerError: a record's form is newer than this program; nothing may be written behind it.
    """
    at = 0
    while (record := _read_head(file, at)) is not None:
        yield record
        at = record.end


def read_body(file: OpenFile, record: Record) -> bytes | None:
    """A record's body; `None` if it is not what was written. Raises OSError."""
    body = file.read(record.offset, record.body_bytes)
    whole = len(body) == record.body_bytes and zlib.crc32(body) == record.body_crc
    return body if whole else None


def _read_head(file: OpenFile, at: int) -> Record | None:
    head = file.read(at, HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return None
    magic, version, kind, meta_bytes, body_bytes, body_crc = _HEAD.unpack_from(head)
    if magic != MAGIC:
        return None
    if version > VERSION:
        raise SessionNewerError(file.path, version, VERSION)
    offset = at + HEAD_BYTES + meta_bytes
    # Bounded before it is read: the numbers are a disk's word.
    if meta_bytes > MAX_META_BYTES or offset + body_bytes > file.size:
        return None
    text = file.read(at + HEAD_BYTES, meta_bytes)
    if zlib.crc32(text, zlib.crc32(head[: _HEAD.size])) != _CRC.unpack_from(head, _HEAD.size)[0]:
        return None
    return Record(kind, json.loads(text), offset, offset + body_bytes, body_crc)
