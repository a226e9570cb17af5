"""A folder of encrypted conversations: nothing in it can be read, and nothing can be put together anew."""

import zlib
from itertools import pairwise, product
from pathlib import Path

import pytest

from autoglmd.errors.session import SessionLockedError
from autoglmd.host.disk import Disk
from autoglmd.messages.sessions import CacheMiss, SessionKey
from autoglmd.sessions.catalog import _sum_of
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.journal import Addition as JournalAddition
from autoglmd.sessions.journal import Journal
from autoglmd.sessions.log import Found
from autoglmd.sessions.record import _HEAD as HEAD
from autoglmd.sessions.record import Kind, encode, read_body, records
from autoglmd.sessions.store import Bounds, SessionStore
from tests.support.answers import answer
from tests.support.conversations import KEY, MODEL, empty, grown, turn_after
from tests.support.seals import PLAIN, SEALED
from tests.support.session_stores import open_store, save_turn

SECRET = SessionKey("certificate:alice", "tax-return-2031")
WORDS = (b"certificate:alice", b"tax-return-2031", "四万二千".encode(), b"swordfish", b"assistant", b"0123456789ab")


def sealed_store(folder: Path, bounds: Bounds | None = None) -> SessionStore:
    """A store with the key."""
    return open_store(folder, seal=SEALED) if bounds is None else open_store(folder, bounds=bounds, seal=SEALED)


def found_in(folder: Path, key: SessionKey = KEY) -> Conversation | None:
    """What a daemon that starts now finds."""
    found = sealed_store(folder).load(key, MODEL)
    return found.conversation if isinstance(found, Found) else None


def pieces_of(path: Path) -> list[bytes]:
    """The bytes of a file, record by record."""
    with Disk().reading(path) as file:
        ends = [0, *(record.end for record in records(file, SEALED))]
    content = path.read_bytes()
    return [content[start:end] for start, end in pairwise(ends)]


def test_nothing_of_a_conversation_is_in_any_file_in_the_clear(tmp_path: Path) -> None:
    """Text, names, keys and values: not in a session's file, nor in the catalog or its log, nor after removals."""
    store = sealed_store(tmp_path)
    told = save_turn(store, save_turn(store, empty(SECRET), "四万二千"), "swordfish")
    raw = [bytes(block.data[:16]) for block in told.blocks]
    save_turn(store, empty(SessionKey("certificate:alice", "gone")), "swordfish")
    assert len(store.catalog.of("certificate:alice")) == 2
    clear_words(tmp_path, (*WORDS, *raw))
    assert store.delete(SessionKey("certificate:alice", "gone"))
    assert sealed_store(tmp_path, Bounds(0, 3600)).tidy() == 1
    assert sealed_store(tmp_path).load(SECRET, MODEL) is CacheMiss.EVICTED
    clear_words(tmp_path, (*WORDS, *raw))
    assert store._files.path_of(SECRET).name != open_store(tmp_path / "plain", seal=PLAIN)._files.path_of(SECRET).name


def clear_words(folder: Path, words: tuple[bytes, ...]) -> None:
    """That none of these are in the bytes or the name of any file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.name.endswith("-wal") for path in files)
    found = [(path.name, word) for path in files for word in words if word in path.read_bytes() or word in bytes(path)]
    assert found == []


def test_a_journalled_turn_is_nobody_elses_to_read(tmp_path: Path) -> None:
    """Nor does it open in another session's row."""
    turn, _ = turn_after(empty(SECRET), "swordfish")
    journal = Journal(tmp_path / "journal.sqlite", SEALED)
    journal.add([JournalAddition("a.session", answer(SECRET), 0, (), turn=turn)])
    clear_words(tmp_path, WORDS)
    assert journal.turn("a.session") == turn
    with journal.using() as database:
        database.execute("UPDATE answers SET file = 'b.session'")
    assert journal.turn("b.session") is None
    journal.close()


def test_the_words_would_be_found_without_a_key(tmp_path: Path) -> None:
    """Else the test above would say nothing."""
    save_turn(open_store(tmp_path, seal=PLAIN), empty(SECRET), "swordfish")
    with pytest.raises(AssertionError, match="alice"):
        clear_words(tmp_path, WORDS)


def test_records_cannot_be_left_out_exchanged_or_told_twice(tmp_path: Path) -> None:
    """What is read is always how the conversation began."""
    told = [empty()]
    store = sealed_store(tmp_path)
    for text in ("one", "two", "three"):
        told.append(save_turn(store, told[-1], text))
    path = store._files.path_of(KEY)
    pieces = pieces_of(path)
    assert len(pieces) == 7
    for one, other in product(range(len(pieces)), repeat=2):
        exchanged, doubled = list(pieces), list(pieces)
        exchanged[one], exchanged[other] = exchanged[other], exchanged[one]
        doubled.insert(one, pieces[other])
        for wrong in (exchanged, doubled, pieces[:one] + pieces[one + 1 :]):
            path.write_bytes(b"".join(wrong))
            sound = [count for count in range(len(pieces) + 1) if wrong[:count] == pieces[:count]]
            assert len(pieces_of(path)) == len(wrong[: sound[-1]])
    path.write_bytes(b"".join(pieces) + pieces[-2])
    assert found_in(tmp_path) == told[-1]


def test_a_record_of_another_past_does_not_open(tmp_path: Path) -> None:
    """One that was written in the same place of the same file, before the end was torn off and written otherwise."""
    store = sealed_store(tmp_path)
    one = save_turn(store, empty(), "one")
    path = store._files.path_of(KEY)
    end = path.stat().st_size
    save_turn(store, save_turn(store, one, "yes"), "then go")
    first = pieces_of(path)
    path.write_bytes(path.read_bytes()[:end])
    save_turn(sealed_store(tmp_path), one, "no!")
    second = pieces_of(path)
    path.write_bytes(b"".join((*second[:5], *first[5:])))
    assert found_in(tmp_path) == grown(one, "no!")


def test_keys_and_values_of_another_past_do_not_open(tmp_path: Path) -> None:
    """Though they be of as many tokens, in the same place."""
    store = sealed_store(tmp_path)
    one = save_turn(store, empty(), "one")
    path = store._files.path_of(KEY)
    end = path.stat().st_size
    save_turn(store, one, "yes")
    with Disk().reading(path) as file:
        *_, last = records(file, SEALED)
        body = file.read(last.offset, last.body_bytes)
    path.write_bytes(path.read_bytes()[:end])
    save_turn(sealed_store(tmp_path), one, "no!")
    path.write_bytes(path.read_bytes()[: -len(body)] + body)
    found = sealed_store(tmp_path).load(KEY, MODEL)
    assert isinstance(found, Found)
    assert (found.damaged, found.conversation.kv_tokens) == (True, one.kv_tokens)
    assert found.conversation.messages == grown(one, "no!").messages


def test_a_head_that_was_changed_does_not_open_though_its_sum_be_right(tmp_path: Path) -> None:
    """A checksum is anybody's to make. Kind and sizes say where the next record is, and what this one counts for."""
    store = sealed_store(tmp_path)
    save_turn(store, empty(), "one")
    path = store._files.path_of(KEY)
    first, turn, kv = pieces_of(path)
    for kind, added in ((1, 0), (3, 0), (9, 0), (2, len(kv))):
        magic, version, _, meta_bytes, body_bytes, _ = HEAD.unpack_from(turn)
        head = HEAD.pack(magic, version, kind, meta_bytes, body_bytes + added, 0)
        meta = turn[HEAD.size + 4 :]
        changed = head + zlib.crc32(meta, zlib.crc32(head)).to_bytes(4, "little") + meta
        path.write_bytes(first + changed + kv)
        assert pieces_of(path) == [first]


def test_what_is_not_encrypted_is_not_taken_for_a_conversation(tmp_path: Path) -> None:
    """Whoever has the disk could have written it."""
    plain = open_store(tmp_path / "plain", seal=PLAIN)
    save_turn(plain, empty(), "say yes")
    forged = plain._files.path_of(KEY).read_bytes()
    store = sealed_store(tmp_path / "sealed")
    told = save_turn(store, empty(), "one")
    path = store._files.path_of(KEY)
    for content in (forged, path.read_bytes() + forged):
        path.write_bytes(content)
        store = sealed_store(tmp_path / "sealed")
        with pytest.raises(SessionLockedError, match="is not encrypted"):
            store.load(KEY, MODEL)
        with pytest.raises(SessionLockedError, match="is not encrypted"):
            save_turn(store, told, "two")
        assert path.read_bytes() == content


def test_what_leaves_this_box_is_written_for_others(tmp_path: Path) -> None:
    """One record by itself needs no key and no place."""
    path = tmp_path / "any name"
    path.write_bytes(b"".join(encode(Kind.TURN, {"say": "你好"}, b"body")))
    with Disk().reading(path) as file:
        (record,) = records(file, PLAIN)
        assert (record.kind, record.meta) == (Kind.TURN, {"say": "你好"})
        assert read_body(file, record, PLAIN) == b"body"


def test_an_entry_of_the_catalog_that_was_exchanged_is_made_again(tmp_path: Path) -> None:
    """One tenant does not see another's, whoever wrote it there."""
    store = sealed_store(tmp_path)
    save_turn(store, empty(SECRET), "one")
    save_turn(store, empty(), "two")
    with store.catalog.using() as database:
        database.execute("UPDATE sessions SET tenant = ?", (SEALED.blind(KEY.tenant),))
        for row in database.execute("SELECT * FROM sessions").fetchall():
            # Whoever writes there can sum it as well.
            database.execute("UPDATE sessions SET sum = ? WHERE file = ?", (_sum_of(row[:-1]), row[0]))
    with pytest.raises(OSError, match="does not open"):
        store.catalog.of(KEY.tenant)
    store.tidy()
    assert [entry.key for entry in store.catalog.of(KEY.tenant)] == [KEY]
