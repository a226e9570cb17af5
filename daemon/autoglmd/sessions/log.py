"""A session's file: appended to turn by turn, and read back into a conversation.

    MODEL   whose session it is, and what the tokens, keys and values behind it are of use to
    TURN    what was said, and its tokens, from a message and a position on; it replaces what was there
    KV      keys and values of some of them, compressed where that saves something; or from where on there are none

A turn appends what it added and nothing else. Recovery is reading: a torn end is not read, and the next turn is written
in its place; damaged keys and values cost the time to compute them again; a damaged turn costs itself and what follows,
which is kept aside where the next turn would write over it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from autoglmd.errors.session import SessionError
from autoglmd.host.disk import Disk, OpenFile
from autoglmd.messages.generation import Message
from autoglmd.messages.sessions import KvBlock, SessionKey
from autoglmd.sessions.bodies import Packed, filled
from autoglmd.sessions.conversation import Conversation, ModelMark, Turn, TurnMark, common_beginning
from autoglmd.sessions.prefixes import Page, pages_in, pages_of
from autoglmd.sessions.record import Kind, Record, is_behind, records
from autoglmd.sessions.seal import Seal

# Fewer replaced positions than these are no waste.
_MOST_REPLACED_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Found:
    """What a file held.

    Attributes:
        end: bytes of whole records; the next is written there.
        damaged: whether anything behind that, or any keys and values before it, could not be used.
        kv_tokens_written: positions of all KV records, those that were replaced included.
        mark: what the next record is bound to.
    """

    conversation: Conversation
    end: int
    damaged: bool
    kv_tokens_written: int
    mark: bytes = b""

    @property
    def is_wasteful(self) -> bool:
        """Whether most of the keys and values in the file were replaced, so that it is better written anew."""
        # What is held of blocks that were cut stays in them: writing them anew would free nothing.
        good = sum(block.held for block in self.conversation.blocks)
        return self.kv_tokens_written - good > max(good, _MOST_REPLACED_TOKENS)


def read(disk: Disk, path: Path, key: SessionKey | None, model: ModelMark | None, seal: Seal) -> Found | None:
    """The conversation in a file, or `None` if there is no such file or nothing whole in it.

    Args:
        disk: where it lies.
        path: the file.
        key: whose it must be; `None` for whose it is.
        model: whose keys and values to read; another model's are left out. With `None` blocks have no data.
        seal: with which it was written.

    Raises:
        OSError: the disk does not give it.
        SessionError: it is another session's, or a newer program's, or written with a key where none is, or without.
    """
    try:
        with disk.reading(path) as file:
            return _read(file, key, model, seal)
    except (FileNotFoundError, NotADirectoryError):
        return None


def holds_more(disk: Disk, path: Path, end: int) -> bool:
    """Whether turns lie behind the damage at a place, which a torn end has none of. Raises OSError."""
    with disk.reading(path) as file:
        return is_behind(file, end + 1, Kind.TURN)


def read_pages(disk: Disk, path: Path, pages: Sequence[Page], seal: Seal) -> tuple[KvBlock, ...]:
    """Keys and values of the first of these pages, as far as the conversation in a file begins alike.

    Raises:
        OSError: the disk does not give it.
        SessionError: it is a newer program's.
    """
    fold = _Fold(None)
    try:
        with disk.reading(path) as file:
            for _ in takewhile(fold.take, records(file, seal)):
                pass
            told = fold.conversation
            if told is None:
                return ()
            alike = _alike(told, pages)
            return filled(file, fold.packed(alike), seal)
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _alike(told: Conversation, pages: Sequence[Page]) -> Conversation:
    """With no more blocks than those of its first prompt that are such pages."""
    blocks = pages_in(told)
    own = pages_of(told.key.tenant, told.model, told.ids[: blocks[-1].stop if blocks else 0])
    return replace(told, blocks=blocks[: common_beginning(own, pages)])


def _read(file: OpenFile, key: SessionKey | None, model: ModelMark | None, seal: Seal) -> Found | None:
    fold = _Fold(key)
    end, mark = 0, b""
    for record in records(file, seal):
        if not fold.take(record):
            break
        end, mark = record.end, record.mark
    told = fold.conversation
    if told is None:
        return None
    torn = end < file.size
    if model is None:
        return Found(told, end, torn, fold.kv_tokens, mark)
    if told.model != model:
        return Found(replace(told, blocks=()), end, torn, fold.kv_tokens, mark)
    blocks = filled(file, fold.packed(told), seal)
    return Found(replace(told, blocks=blocks), end, torn or len(blocks) < len(told.blocks), fold.kv_tokens, mark)


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

    def packed(self, told: Conversation) -> tuple[Packed, ...]:
        """The blocks of a conversation that has no others than this one, with where their data is."""
        per_token = told.model.kv_bytes_per_token
        return tuple(Packed(block, self.kv[block.start], block.held * per_token) for block in told.blocks)

    def _take(self, record: Record) -> None:
        meta = record.meta
        match record.kind:
            case Kind.MODEL:
                self._begin(meta)
            case Kind.TURN if self.conversation is not None:
                self.conversation = self.conversation.after(turn_of(meta))
            case Kind.KV if self.conversation is not None:
                self._take_kv(block_of(meta), record)

    def _take_kv(self, block: KvBlock, record: Record) -> None:
        self.kv_tokens += block.held
        if self.conversation is not None:
            if self.conversation.takes(block):
                self.kv[block.start] = record
            self.conversation = self.conversation.having(block)

    def _begin(self, meta: dict[str, Any]) -> None:
        key = SessionKey(str(meta["tenant"]), str(meta["session"]))
        if self._key is not None and self._key != key:
            # The other one is not named: this goes to whoever asked, and it may be another tenant's.
            own = self._key.session_id
            raise SessionError(f"The file of session {own!r} holds another session's conversation. Delete the session.")
        model = ModelMark(**meta["model"])
        created = float(meta["created"])
        begun = self.conversation or Conversation(key, model, created, created)
        self.conversation = replace(begun.of(model), is_foreign=bool(meta.get("foreign", False)))
        self.kv.clear()


def block_of(meta: dict[str, Any]) -> KvBlock:
    """A KV record's meta, without the data. Raises KeyError, TypeError or ValueError for what is none."""
    return KvBlock(int(meta["start"]), int(meta["tokens"]), int(meta["held"]), b"", int(meta.get("stamp", 0)))


def turn_of(meta: dict[str, Any]) -> Turn:
    """A TURN record's meta. Raises KeyError, TypeError, ValueError or OverflowError for what is none."""
    return Turn(
        number=int(meta["number"]),
        at=float(meta["at"]),
        start=int(meta["start"]),
        ids=tuple(map(int, meta["ids"])),
        first_message=int(meta["first_message"]),
        messages=tuple(Message(str(each["role"]), str(each["content"])) for each in meta["messages"]),
        marks=tuple(
            TurnMark(**{name: int(place) for name, place in dict(each).items()}) for each in meta.get("marks", ())
        ),
    )
