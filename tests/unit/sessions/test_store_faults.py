"""What goes wrong with sessions on disk: faults at every step, flipped bits, cut files."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from autoglmd.messages.sessions import CacheMiss, SessionKey
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.log import Found
from autoglmd.sessions.quota import Bounds
from autoglmd.sessions.store import SessionStore
from tests.support.conversations import KEY, MODEL, NOW, empty, grown, turn_after
from tests.support.faulty_disk import FaultyDisk, Killed, ShortDisk
from tests.support.session_stores import OPEN, file_of, loaded, open_store, save_turn


def steps_of_a_save(folder: Path) -> int:
    """How many primitives a second turn's save takes."""
    told = save_turn(open_store(folder), empty(), "one")
    disk = FaultyDisk(fail_at=1 << 30)
    save_turn(open_store(folder, disk), told, "two")
    return disk.steps


@pytest.fixture(name="folders")
def make_folders(tmp_path: Path) -> Iterator[Path]:
    """A fresh folder for each step."""
    return (tmp_path / str(number) for number in range(1 << 30))


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS, None])
@pytest.mark.parametrize("once", [True, False])
def test_whatever_fails_in_a_save_the_conversation_is_as_before_or_as_after(
    folders: Iterator[Path], fault: int | None, *, once: bool
) -> None:
    """At every step, by an error or by kill -9; and the next save succeeds."""
    for step in range(steps_of_a_save(next(folders))):
        folder = next(folders)
        before = save_turn(open_store(folder), empty(), "one")
        with pytest.raises((OSError, Killed)):
            save_turn(open_store(folder, FaultyDisk(step, fault, once=once)), before, "two")
        found = loaded(folder)
        assert found in (before, grown(before, "two"), without_last_kv(before))
        after = save_turn(open_store(folder), before, "three")
        assert loaded(folder) == after


def without_last_kv(before: Conversation) -> Conversation:
    """With the second turn, whose keys and values were torn."""
    return before.after(turn_after(before, "two")[0])


@pytest.mark.parametrize("fault", [errno.ENOSPC, None])
def test_whatever_fails_in_a_first_save_the_next_succeeds(folders: Iterator[Path], fault: int | None) -> None:
    """The folder and the file are being made, too."""
    disk = FaultyDisk(1 << 30)
    save_turn(open_store(next(folders), disk), empty(), "one")
    for step in range(disk.steps):
        folder = next(folders)
        with pytest.raises((OSError, Killed)):
            save_turn(open_store(folder, FaultyDisk(step, fault)), empty(), "one")
        after = save_turn(open_store(folder), empty(), "one")
        assert loaded(folder) == after


def test_a_full_disk_gets_its_space_back(tmp_path: Path) -> None:
    """What could not be finished does not stay in the way."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    size = file_of(tmp_path).stat().st_size
    with pytest.raises(OSError, match="No space"):
        save_turn(open_store(tmp_path, FaultyDisk(3, errno.ENOSPC, once=True)), told, "two")
    assert file_of(tmp_path).stat().st_size == size


def test_a_disk_that_takes_and_gives_few_bytes_at_a_time_will_do(tmp_path: Path) -> None:
    """Short writes and short reads are no faults."""
    told = save_turn(open_store(tmp_path, ShortDisk()), empty(), "one")
    found = open_store(tmp_path, ShortDisk()).load(KEY, MODEL)
    assert isinstance(found, Found)
    assert found.conversation == told


@pytest.mark.parametrize("broken", ["put", "forget"])
def test_a_catalog_that_refuses_fails_no_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """It is made to agree later; a save that was done is not done again."""
    store = open_store(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "database or disk is full")

    monkeypatch.setattr(store.catalog, broken, refuse)
    told = save_turn(store, save_turn(store, empty(), "one"), "two")
    again = open_store(tmp_path)
    again.reconcile()
    assert loaded(tmp_path) == told
    assert len(OPEN[-1].catalog.everything()) == 1


def test_a_bit_flipped_anywhere_is_noticed(tmp_path: Path) -> None:
    """What is given is a part of what was saved: text that was said, tokens and values that were computed."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    told = save_turn(open_store(tmp_path), told, "two")
    path = file_of(tmp_path)
    sound = path.read_bytes()
    versions = [at + 4 for at in range(len(sound)) if sound[at : at + 4] == b"AGLS"]
    flips = [*((at, at % 8) for at in range(len(sound))), *product(versions, range(8))]
    for at, bit in flips:
        path.write_bytes(sound[:at] + bytes([sound[at] ^ (1 << bit)]) + sound[at + 1 :])
        found = open_store(tmp_path).load(KEY, MODEL)
        assert found is CacheMiss.DAMAGED or (found.damaged and is_part_of(found.conversation, told)), at


def is_part_of(found: Conversation, told: Conversation) -> bool:
    """Whether all that it holds is at the same place in the other."""
    pairs = zip(found.blocks, told.blocks, strict=False)
    return (
        told.ids[: len(found.ids)] == found.ids
        and told.messages[: len(found.messages)] == found.messages
        and all(ours == theirs for ours, theirs in pairs)
    )


def test_a_file_cut_off_anywhere_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    """And the conversation goes on from there."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    end_of_first = file_of(tmp_path).stat().st_size
    told = save_turn(open_store(tmp_path), told, "two")
    path = file_of(tmp_path)
    sound = path.read_bytes()
    for size in range(len(sound)):
        path.write_bytes(sound[:size])
        found = loaded(tmp_path)
        assert found is None or is_part_of(found, told)
        assert size < end_of_first or (found is not None and len(found.ids) >= 5)
    path.write_bytes(sound[:-1])
    after = save_turn(open_store(tmp_path), loaded(tmp_path) or empty(), "three")
    assert loaded(tmp_path) == after


def test_what_may_not_have_been_synced_is_synced_again(tmp_path: Path) -> None:
    """A save whose last step failed is not done, although its bytes can be read."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    disk = FaultyDisk(1 << 30)
    open_store(tmp_path, disk).save(told)
    assert disk.steps > 0
    steps = disk.steps
    OPEN[-1].save(told)
    assert disk.steps == steps


def test_a_file_that_cannot_be_removed_keeps_no_other_from_going(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again the next time."""
    store = open_store(tmp_path)
    for number in range(3):
        save_turn(store, replace(empty(SessionKey("local", str(number))), last_used=NOW - 90 + number), "text")
    full = open_store(tmp_path, bounds=Bounds(disk_bytes=0, ttl_seconds=3600))
    remove = full._files.disk.remove
    bad = full._files.path_of(SessionKey("local", "0"))

    def refuse(path: Path) -> None:
        if path == bad:
            raise OSError(errno.EPERM, "immutable")
        remove(path)

    monkeypatch.setattr(full._files.disk, "remove", refuse)
    assert full.tidy() == 2
    assert bad.exists()


def ten_in(folder: Path) -> SessionStore:
    """A store of ten sessions that are one byte more than may be kept."""
    store = open_store(folder)
    for number in range(10):
        save_turn(store, replace(empty(SessionKey("local", str(number))), last_used=NOW - 90 + number), "text")
    held = sum(path.stat().st_size for path in folder.glob("*/*.session"))
    return open_store(folder, bounds=Bounds(disk_bytes=held - 1, ttl_seconds=3600))


def refuse(*_: object) -> None:
    """As SQLite does where the disk is full, or somebody else has the database."""
    raise OSError(errno.EBUSY, "database is locked")


def test_a_journal_that_refuses_keeps_all_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked before a file goes, and once: no other session goes in the place of the first."""
    full = ten_in(tmp_path)
    monkeypatch.setattr(full.journal, "forget", refuse)
    with pytest.raises(OSError, match="locked"):
        full.tidy()
    with pytest.raises(OSError, match="locked"):
        full.delete(SessionKey("local", "5"))
    assert len(list(tmp_path.glob("*/*.session"))) == 10
    monkeypatch.undo()
    assert full.tidy() == 1


def test_a_catalog_that_refuses_costs_no_more_than_must_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is gone counts as gone, and the catalog is compared with the files when it takes something again."""
    full = ten_in(tmp_path)
    monkeypatch.setattr(full.catalog, "forget", refuse)
    assert full.tidy() == 1
    assert len(list(tmp_path.glob("*/*.session"))) == 9
    with pytest.raises(OSError, match="locked"):
        full.tidy()
    assert full.delete(SessionKey("local", "5"))
    monkeypatch.undo()
    assert full.tidy() == 0
    assert len(full.catalog.everything()) == len(list(tmp_path.glob("*/*.session"))) == 8


def test_a_removal_whose_sync_failed_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is gone as far as anybody can see, and no other goes in its place."""
    full = ten_in(tmp_path)
    monkeypatch.setattr(full._files.disk, "_sync", refuse)
    assert full.tidy() == 1
    assert len(list(tmp_path.glob("*/*.session"))) == 9
    assert full.tidy() == 0
    assert len(full.catalog.everything()) == 9
