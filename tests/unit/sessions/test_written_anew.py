"""Which files are appended to, and which are written anew."""

from dataclasses import replace
from pathlib import Path

import pytest

from autoglmd.sessions import log as session_log
from autoglmd.sessions.journal import Addition
from autoglmd.sessions.log import Found
from tests.support.answers import answer
from tests.support.conversations import KEY, MODEL, NOW, empty, grown, turn_after
from tests.support.journals import TURN
from tests.support.session_stores import BOUNDS, loaded, open_store, save_turn


def test_what_is_imported_over_an_expired_session_is_as_it_came(tmp_path: Path) -> None:
    """Its keys and values remain a stranger's, and it is as young as it says."""
    old = save_turn(open_store(tmp_path), empty(), "one")
    later = NOW + 2 * BOUNDS.ttl_seconds
    open_store(tmp_path, now=later).save(replace(old, last_used=later, is_foreign=True))
    found = open_store(tmp_path, now=later + 1).load(KEY, MODEL)
    assert isinstance(found, Found)
    assert found.conversation == replace(old, last_used=later, is_foreign=True)


def test_keys_and_values_on_disk_outlive_that_memory_let_them_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of which most was replaced is written anew another time, when they are there again."""
    monkeypatch.setattr(session_log, "_MOST_REPLACED_TOKENS", 10)
    store, told = open_store(tmp_path), empty()
    for number in range(3):
        turn, block = turn_after(empty(), f"say {number}", tokens=20)
        told = told.after(replace(turn, number=number + 1, ids=tuple(range(number, number + 20)))).having(block)
        store.save(told)
    store.save(told.without_data())
    assert loaded(tmp_path) == told


def test_a_turn_that_was_told_and_not_saved_counts_as_a_use(tmp_path: Path) -> None:
    """The daemon was killed in between; making room, or an age, must not cost the session before it is taken up."""
    long_ago = NOW - BOUNDS.ttl_seconds - 5
    store = open_store(tmp_path)
    save_turn(store, replace(empty(), created=long_ago, last_used=long_ago), "one")
    store.journal.add([Addition(store.file_of(KEY), answer(), 0, (), turn=replace(TURN, at=NOW - 1))])
    assert open_store(tmp_path, bounds=replace(BOUNDS, disk_bytes=1)).tidy() == 0
    assert store.file_of(KEY) in {path.name for path in tmp_path.glob("*/*")}
    # Once nobody has come for so long, it goes as others do.
    later = open_store(tmp_path, now=NOW + BOUNDS.ttl_seconds + 90_000)
    assert later.tidy() + later.tidy() == 1


def test_memory_for_names_and_marks_is_counted(tmp_path: Path) -> None:
    """What is kept in memory is bounded by it, whatever a file's text is made of."""
    told = grown(empty(), "one")
    many = replace(told, messages=told.messages * 100, marks=told.marks * 100)
    assert many.text_bytes > told.text_bytes + 99 * 2 * 100
    named = replace(told, messages=(replace(told.messages[0], role="r" * 1000),))
    assert named.text_bytes > told.text_bytes + 1000
