"""Sessions on a disk that is full, or for reading alone: they are still there, and can still go."""

from pathlib import Path

import pytest

from autoglmd.messages.sessions import CacheMiss
from autoglmd.sessions.contents import CATALOG
from autoglmd.sessions.database import DiskFullError
from autoglmd.sessions.journal import Journal
from tests.support.conversations import KEY, MODEL, empty
from tests.support.session_stores import BOUNDS, file_of, open_store, save_turn


def refuse_while_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Let the journal forget nothing while a file takes up the room. Returns for each try whether it could."""
    tries: list[bool] = []
    forget = Journal.forget

    def forget_if_room(journal: Journal, file: str) -> None:
        tries.append(not path.exists())
        if not tries[-1]:
            raise DiskFullError("the journal of answers: database or disk is full")
        forget(journal, file)

    def told_if_room(_: Journal, file: str) -> float:
        if path.exists():
            raise DiskFullError("the journal of answers: disk I/O error")
        return 0.0

    monkeypatch.setattr(Journal, "forget", forget_if_room)
    monkeypatch.setattr(Journal, "told_at", told_if_room)
    return tries


def test_a_full_disk_lets_a_session_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file goes first, and makes room for the rest to go."""
    store = open_store(tmp_path)
    save_turn(store, empty(), "one")
    tries = refuse_while_there(file_of(tmp_path), monkeypatch)
    assert store.delete(KEY)
    assert tries == [False, True]
    assert store.catalog.everything() == ()


def test_a_full_disk_lets_sessions_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be full for ever."""
    store = open_store(tmp_path)
    save_turn(store, empty(), "one")
    refuse_while_there(file_of(tmp_path), monkeypatch)
    store._keeping._bounds = type(BOUNDS)(disk_bytes=0, ttl_seconds=3600)
    assert store.tidy() == 1
    assert not list(tmp_path.glob("*/*.session"))


def test_a_catalog_that_cannot_be_opened_is_kept_in_memory(tmp_path: Path) -> None:
    """And filled from the files; the next start finds one on disk again."""
    save_turn(open_store(tmp_path), empty(), "one")
    open_store(tmp_path / "elsewhere")
    for leftover in tmp_path.glob(f"{CATALOG}*"):
        leftover.unlink()
    (tmp_path / CATALOG).mkdir()
    store = open_store(tmp_path)
    store.reconcile()
    assert [entry.key for entry in store.catalog.everything()] == [KEY]
    save_turn(store, empty(KEY), "another")
    assert store.tidy() == 0
    open_store(tmp_path / "elsewhere")
    (tmp_path / CATALOG).rmdir()
    later = open_store(tmp_path)
    later.reconcile()
    assert [entry.key for entry in later.catalog.everything()] == [KEY]
    assert (tmp_path / CATALOG).is_file()


def test_whoever_asks_for_a_file_that_was_set_aside_is_told_why_it_is_not_there(tmp_path: Path) -> None:
    """It was there, and nothing of it could be read."""
    save_turn(open_store(tmp_path), empty(), "one")
    file_of(tmp_path).write_bytes(b"")
    store = open_store(tmp_path)
    store.reconcile()
    assert not list(tmp_path.glob("*/*.session"))
    assert store.load(KEY, MODEL) is CacheMiss.DAMAGED
