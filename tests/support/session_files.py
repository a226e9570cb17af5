"""Exported sessions as bytes, and taken apart into records, which a test may change and put together again."""

import json
import zlib
from pathlib import Path
from typing import Any

from autoglmd.host.disk import OpenFile
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions import record
from autoglmd.sessions.conversation import Conversation, ModelMark
from autoglmd.sessions.export import Reader, exported, imported
from autoglmd.sessions.record import Kind, read_body, records
from tests.support.conversations import NOW, empty, grown
from tests.support.seals import PLAIN

LAYOUT = ModelMark("tiny", "0123456789ab", "feedbeef", "2 of int8 1x2; some runtime", 4)
NEW = SessionKey("certificate:eve", "new")

Raw = tuple[int, Any, bytes]
"""A record: kind, meta, body."""


def told(*texts: str) -> Conversation:
    """A conversation whose model says how keys and values are laid out."""
    return grown(empty(model=LAYOUT), *texts)


def packed(conversation: Conversation) -> bytes:
    """Its file."""
    return b"".join(bytes(piece) for piece in exported(conversation))


def opened(raw: bytes) -> OpenFile:
    """A file to read."""
    return OpenFile(Path("The file"), len(raw), lambda at, size: raw[at : at + size])


def taken(raw: bytes, *marks: ModelMark, context_tokens: int = 4096) -> Conversation:
    """What a daemon makes of a file that serves these models, or the one that wrote it."""
    readers = {mark.name: Reader(mark, context_tokens) for mark in marks or (LAYOUT,)}
    return imported(opened(raw), NEW, readers, NOW + 100)


def apart(raw: bytes) -> list[Raw]:
    """The records of a whole file."""
    file = opened(raw)
    return [(each.kind, each.meta, read_body(file, each, PLAIN) or b"") for each in records(file, PLAIN)]


def together(parts: list[Raw], *, count: int | None = None) -> bytes:
    """Records with checksums that are right; the end says how many there are, or what the test says."""
    ended = [each for each in parts if each[0] != Kind.END]
    ended.append((Kind.END, {"records": len(ended) if count is None else count}, b""))
    return b"".join(written(*each) for each in ended)


def written(kind: int, meta: Any, body: bytes) -> bytes:
    """One record, of whatever JSON or bytes there are in the place of it."""
    text = meta if isinstance(meta, bytes) else json.dumps(meta).encode()
    head = record._HEAD.pack(record.MAGIC, record.PLAIN_VERSION, kind, len(text), len(body), zlib.crc32(body))
    return head + record._CRC.pack(zlib.crc32(text, zlib.crc32(head))) + text + body


def of_version(version: int, raw: bytes) -> bytes:
    """A file whose first record is of another version, with a checksum that is right."""
    magic, _, *rest = record._HEAD.unpack_from(raw)
    head = record._HEAD.pack(magic, version, *rest)
    text = raw[record.HEAD_BYTES :][: rest[1]]
    return head + record._CRC.pack(zlib.crc32(text, zlib.crc32(head))) + raw[record.HEAD_BYTES :]
