"""Keys and values that were computed a second time: the file holds the ones or the others, and never some of both."""

from dataclasses import replace
from pathlib import Path

import pytest

from autoglmd.messages.sessions import KvBlock
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.log import Found
from tests.support.conversations import KEY, MODEL, empty, grown, without_kv
from tests.support.session_stores import file_of, loaded, open_store

OTHER = b"\xff" * MODEL.kv_bytes_per_token


def stamped(told: Conversation, stamp: int) -> Conversation:
    """Its keys and values, as the computing with that stamp left them."""
    return replace(told, blocks=tuple(replace(block, stamp=stamp) for block in told.blocks))


SAID = stamped(grown(empty(), "one", "two", "three"), 7)


def computed_again(told: Conversation, start: int) -> Conversation:
    """With others from a position on, in one block."""
    tokens = told.kv_tokens - start
    return replace(told, blocks=(*told.blocks_until(start), KvBlock(start, tokens, tokens, tokens * OTHER, 8)))


@pytest.mark.parametrize("start", [0, 4, 9, 11])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_was_computed_again_takes_the_place_of_what_the_file_had(
    tmp_path: Path, start: int, is_restarted: bool
) -> None:
    """Also where a whole block lies before it, or where it begins inside one; with the next turn as well."""
    store = open_store(tmp_path)
    store.save(SAID)
    again = computed_again(SAID, start)
    store = open_store(tmp_path) if is_restarted else store
    store.save(again)
    assert loaded(tmp_path) == again
    store = open_store(tmp_path)
    store.save(after := grown(again, "four"))
    assert loaded(tmp_path) == after


def test_what_was_damaged_is_whole_again_once_it_was_computed_again(tmp_path: Path) -> None:
    """Else every start would compute it."""
    open_store(tmp_path).save(SAID)
    path = file_of(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    store = open_store(tmp_path)
    found = store.load(KEY, MODEL)
    assert isinstance(found, Found)
    assert found.damaged
    assert found.conversation == replace(SAID, blocks=SAID.blocks[:-1])
    again = computed_again(SAID, SAID.blocks[-1].start)
    store.save(again)
    found = open_store(tmp_path).load(KEY, MODEL)
    assert isinstance(found, Found)
    assert (found.conversation, found.damaged) == (again, False)


@pytest.mark.parametrize("start", [0, 4, 9, 11])
def test_of_what_was_computed_again_and_is_not_to_be_had_the_file_holds_neither(tmp_path: Path, start: int) -> None:
    """What was said is there; and what is had later is saved then."""
    store = open_store(tmp_path)
    store.save(SAID)
    again = grown(computed_again(SAID, start), "four")
    store.save(again.without_data())
    assert loaded(tmp_path) == replace(again, blocks=SAID.blocks_until(start))
    entry = open_store(tmp_path).entry(KEY)
    assert entry is not None
    assert entry.cached_tokens == start
    open_store(tmp_path).save(again)
    assert loaded(tmp_path) == again


def test_what_is_not_to_be_had_and_was_saved_stays(tmp_path: Path) -> None:
    """Of a conversation that nobody computed again."""
    store = open_store(tmp_path)
    store.save(SAID)
    size = file_of(tmp_path).stat().st_size
    store.save(SAID.without_data())
    store.save(without_kv(SAID))
    assert file_of(tmp_path).stat().st_size == size
    after = grown(SAID, "four")
    store.save(after.without_data())
    assert loaded(tmp_path) == replace(after, blocks=SAID.blocks)


def test_files_of_before_are_not_written_again(tmp_path: Path) -> None:
    """They do not say what was computed when; what is found there is what goes on."""
    old = stamped(SAID, 0)
    store = open_store(tmp_path)
    store.save(old)
    before = file_of(tmp_path).read_bytes()
    assert b"stamp" not in before
    store = open_store(tmp_path)
    found = store.load(KEY, MODEL)
    assert isinstance(found, Found)
    store.save(found.conversation)
    assert file_of(tmp_path).read_bytes() == before
