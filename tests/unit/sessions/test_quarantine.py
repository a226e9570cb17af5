"""Files of which nothing can be read are set aside once, and removed in the end."""

import errno
import logging
import os
from pathlib import Path

import pytest

from autoglmd.host.disk import Disk
from autoglmd.messages.sessions import CacheMiss, SessionKey
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.store import Bounds, Kept, SessionStore
from tests.support import session_stores
from tests.support.conversations import KEY, MODEL, NOW, empty
from tests.support.session_stores import BOUNDS, file_of, loaded, open_store, save_turn, steady_at, store_in

DAY = 86400.0


class CountingDisk(Disk):
    """Knows what was read."""

    def __init__(self) -> None:
        self.reads = 0

    def _read(self, descriptor: int, size: int, at: int) -> bytes:
        self.reads += 1
        return super()._read(descriptor, size, at)


def spoil(folder: Path) -> Path:
    """Put something else into the one session's file, as large as that was not; what a bad disk may give."""
    path = file_of(folder)
    path.write_bytes(b"\0" * 1000)
    return path


@pytest.fixture(name="spoilt")
def make_spoilt(tmp_path: Path) -> SessionStore:
    """A store as a daemon opens it that finds such a file."""
    save_turn(open_store(tmp_path), empty(), "one")
    spoil(tmp_path)
    return open_store(tmp_path)


def aside(folder: Path) -> list[Path]:
    """What was set aside."""
    return list(folder.glob("*/*.unreadable"))


def test_a_file_of_which_nothing_can_be_read_is_read_once(
    tmp_path: Path, spoilt: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told of once, counts, and is out of the way of the session's next turn."""
    with caplog.at_level(logging.WARNING):
        spoilt.reconcile()
    assert [record.message for record in caplog.records].count(
        "nothing can be read of a session's file, and it is set aside"
    ) == 1
    assert len(aside(tmp_path)) == 1
    assert spoilt.kept == Kept(0, 0)
    disk = CountingDisk()
    again = open_store(tmp_path, disk)
    disk.reads = 0
    again.reconcile()
    assert disk.reads == 0
    assert again.load(KEY, MODEL) is CacheMiss.DAMAGED
    save_turn(again, empty(), "two")
    assert len(aside(tmp_path)) == 1


def test_a_session_in_anothers_place_is_set_aside_as_well(tmp_path: Path) -> None:
    """Nobody would ever find it there, and its owner is not asked for his."""
    store = open_store(tmp_path)
    save_turn(store, empty(), "one")
    stranger = tmp_path / "00" / "00.session"
    stranger.parent.mkdir()
    stranger.write_bytes(file_of(tmp_path).read_bytes())
    store.reconcile()
    assert [entry.session_id for entry in store.catalog.everything()] == [KEY.session_id]
    assert not stranger.exists()
    assert aside(tmp_path) == [stranger.with_suffix(".unreadable")]


def test_what_a_disk_or_an_older_program_cannot_read_today_stays(tmp_path: Path) -> None:
    """Another day it may be given, or another program be installed."""
    save_turn(open_store(tmp_path), empty(), "one")
    path = file_of(tmp_path)

    class Broken(Disk):
        def _read(self, descriptor: int, size: int, at: int) -> bytes:
            raise OSError(errno.EIO, "a bad sector")

    path.write_bytes(path.read_bytes()[:-1])
    open_store(tmp_path, Broken()).reconcile()
    assert path.exists()
    assert aside(tmp_path) == []


def test_it_goes_before_any_session_where_there_is_no_place(tmp_path: Path, spoilt: SessionStore) -> None:
    """Whoever's bytes are of use stays."""
    spoilt.reconcile()
    other = SessionKey("local", "other")
    save_turn(spoilt, empty(other), "two")
    size = file_of(tmp_path).stat().st_size
    tight = open_store(tmp_path, bounds=Bounds(disk_bytes=size + 999, ttl_seconds=3600))
    assert tight.tidy() == 0
    assert aside(tmp_path) == []
    assert tight.kept.sessions == 1


def test_it_is_kept_as_long_as_a_session(tmp_path: Path, spoilt: SessionStore) -> None:
    """From the day on which it was set aside."""
    spoilt.reconcile()
    set_aside_at = aside(tmp_path)[0].stat().st_ctime
    open_store(tmp_path, now=set_aside_at + BOUNDS.ttl_seconds - 1).tidy()
    assert len(aside(tmp_path)) == 1
    open_store(tmp_path, now=set_aside_at + BOUNDS.ttl_seconds + 1).tidy()
    assert aside(tmp_path) == []


def test_a_disk_that_lets_nothing_be_renamed_keeps_no_daemon_from_starting(tmp_path: Path) -> None:
    """The others' sessions are entered all the same."""
    save_turn(open_store(tmp_path), empty(), "one")
    spoil(tmp_path)
    save_turn(open_store(tmp_path), empty(SessionKey("local", "other")), "two")
    (tmp_path / "catalog.sqlite").unlink()

    class ReadOnly(Disk):
        def _rename(self, source: Path, target: Path) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    store = open_store(tmp_path, ReadOnly())
    store.reconcile()
    assert [entry.session_id for entry in store.catalog.everything()] == ["other"]


def test_what_went_is_counted_by_its_reason(tmp_path: Path) -> None:
    """And what is left is known without asking the disk."""
    store = open_store(tmp_path)
    for number in range(4):
        save_turn(store, empty(SessionKey("local", str(number))), "text")
    store.tidy()
    size = store.kept.bytes // 4
    assert store.kept == Kept(4, 4 * size)
    store.close()
    clock = steady_at(NOW)
    small = SessionStore(tmp_path, Bounds(3 * size, 3600), Disk(), clock, session_stores.SEAL)
    small.tidy()
    assert small.kept == Kept(3, 3 * size, expired=0, evicted=1)
    small.close()
    late = store_in(tmp_path, now=NOW + DAY)
    late.tidy()
    assert late.kept == Kept(0, 0, expired=3, evicted=0)
    late.close()


def five_turns(folder: Path) -> tuple[Conversation, Path]:
    """A session of five turns, and its file."""
    store, told = open_store(folder), empty()
    for text in ("one", "two", "three", "four", "five"):
        told = save_turn(store, told, text)
    return told, file_of(folder)


def flipped(path: Path, at: int) -> bytes:
    """What is in a file once a bit of it is another."""
    raw = path.read_bytes()
    path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
    return path.read_bytes()


@pytest.mark.parametrize("record", [0, 1, 3])
def test_turns_behind_a_damaged_one_are_kept_when_the_session_goes_on(tmp_path: Path, record: int) -> None:
    """The next turn writes a file of its own, not over them; they go with the session."""
    _, path = five_turns(tmp_path)
    raw = path.read_bytes()
    damaged = flipped(path, [at for at in range(len(raw)) if raw.startswith(b"AGLS", at)][record] + 30)
    before = loaded(tmp_path) or empty()
    after = save_turn(open_store(tmp_path), before, "six")
    assert loaded(tmp_path) == after
    (kept,) = aside(tmp_path)
    assert kept.read_bytes() == damaged
    store = open_store(tmp_path)
    store.tidy()
    assert aside(tmp_path) == [kept]
    assert store.delete(KEY)
    assert aside(tmp_path) == []
    store.tidy()


def test_a_torn_end_is_written_over(tmp_path: Path) -> None:
    """It holds nothing that anybody was told."""
    _, path = five_turns(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    told = loaded(tmp_path)
    assert told is not None
    save_turn(open_store(tmp_path), told, "six")
    assert aside(tmp_path) == []


@pytest.mark.parametrize("fault", [errno.EPERM, errno.ENOSPC])
def test_a_disk_without_second_names_keeps_it_as_well(tmp_path: Path, fault: int) -> None:
    """Under the other name alone. Where it can be kept under none, it is not written over."""
    _, path = five_turns(tmp_path)
    damaged = flipped(path, 9)

    class NoLinks(Disk):
        def _link(self, source: Path, target: Path) -> None:
            raise OSError(fault, os.strerror(fault))

    store = open_store(tmp_path, NoLinks())
    if fault == errno.EPERM:
        save_turn(store, empty(), "six")
        assert aside(tmp_path)[0].read_bytes() == damaged
        return
    with pytest.raises(OSError, match="No space"):
        save_turn(store, empty(), "six")
    assert path.read_bytes() == damaged


def test_one_that_the_disk_keeps_stops_nobody(
    tmp_path: Path, spoilt: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions expire all the same, and it is tried again the next time."""
    spoilt.reconcile()
    (kept,) = aside(tmp_path)
    save_turn(spoilt, empty(SessionKey("local", "other")), "two")
    late = open_store(tmp_path, now=kept.stat().st_ctime + BOUNDS.ttl_seconds + 1)
    remove = late._files.disk.remove

    def refuse(path: Path) -> None:
        if path == kept:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        remove(path)

    monkeypatch.setattr(late._files.disk, "remove", refuse)
    assert late.tidy() == 1
    assert (aside(tmp_path), list(tmp_path.glob("*/*.session"))) == ([kept], [])
    monkeypatch.undo()
    late.tidy()
    assert aside(tmp_path) == []


def test_one_that_cannot_be_looked_at_stops_nobody(
    tmp_path: Path, spoilt: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a leftover that cannot be removed: the catalog is filled with the rest."""
    spoilt.reconcile()
    save_turn(spoilt, empty(SessionKey("local", "other")), "two")
    (bad,) = aside(tmp_path)
    half = bad.with_suffix(".partial")
    half.write_bytes(b"half")
    (tmp_path / "catalog.sqlite").unlink()
    stat = Path.stat

    def refuse(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return stat(path, follow_symlinks=follow_symlinks)

    again = open_store(tmp_path)
    remove = again._files.disk.remove
    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(again._files.disk, "remove", lambda path: refuse(bad) if path == half else remove(path))
    again.reconcile()
    assert [entry.session_id for entry in again.catalog.everything()] == ["other"]
