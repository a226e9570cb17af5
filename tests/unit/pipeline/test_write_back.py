"""The write-back thread: turns reach the disk, whatever the disk does meanwhile."""

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autoglmd.host.disk import Disk
from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline import waiting, write_back
from autoglmd.pipeline.write_back import WriteBack
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.log import Found
from tests.support.conversations import KEY, MODEL, empty, turn_after, without_kv
from tests.support.session_stores import file_of, open_store, store_in

LIMIT_SECONDS = 10.0


class GatedDisk(Disk):
    """Syncs when it is let, and fails as long as it is told to."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.broken = False

    def _sync(self, descriptor: int) -> None:
        self.reached.set()
        assert self.gate.wait(LIMIT_SECONDS)
        if self.broken:
            raise OSError(errno.EIO, "the disk is broken")
        super()._sync(descriptor)


class Rig:
    """A write-back thread over a disk that obeys the test."""

    def __init__(self, folder: Path, unsaved_bytes: int = 1 << 30, open_seconds: float = LIMIT_SECONDS) -> None:
        self.disk = GatedDisk()
        self.store = store_in(folder, self.disk)
        self.write_back = WriteBack(self.store, unsaved_bytes, 0.01, open_seconds)
        self.write_back.start(lambda _: False)

    def put(self, told: Conversation, text: str) -> Conversation:
        """Have one more turn saved."""
        turn, block = turn_after(told, text)
        after = told.after(turn).having(block)
        self.write_back.put(after)
        return after

    def on_disk(self, key: SessionKey = KEY) -> Conversation | None:
        """What is saved."""
        found = self.store.load(key, MODEL)
        return found.conversation if isinstance(found, Found) else None


@pytest.fixture(name="rig")
def make_rig(tmp_path: Path) -> Iterator[Rig]:
    """A rig that is stopped afterwards."""
    rig = Rig(tmp_path)
    yield rig
    rig.disk.broken = False
    rig.disk.gate.set()
    rig.write_back.stop(LIMIT_SECONDS)


def test_turns_are_saved_in_their_order(rig: Rig) -> None:
    """And are known until they are."""
    rig.disk.gate.clear()
    told = rig.put(rig.put(empty(), "one"), "two")
    assert rig.disk.reached.wait(LIMIT_SECONDS)
    assert rig.write_back.find(KEY) == told
    assert rig.write_back.unsaved == 1
    rig.disk.gate.set()
    assert rig.write_back.flush(LIMIT_SECONDS)
    assert rig.write_back.find(KEY) is None
    assert rig.on_disk() == told


def test_what_a_broken_disk_refused_is_saved_when_it_recovers(rig: Rig) -> None:
    """Nothing is lost, and nobody waited for it."""
    rig.disk.broken = True
    told = rig.put(rig.put(empty(), "one"), "two")
    assert not rig.write_back.flush(0.05)
    assert rig.write_back.find(KEY) == told
    rig.disk.broken = False
    assert rig.write_back.flush(LIMIT_SECONDS)
    assert rig.on_disk() == told


def test_beyond_the_bytes_that_may_wait_text_is_saved_without_keys_and_values(tmp_path: Path) -> None:
    """A slow disk costs computing, not memory and not words."""
    rig = Rig(tmp_path, unsaved_bytes=0)
    rig.disk.gate.clear()
    first = rig.put(empty(), "one")
    other = SessionKey("local", "other")
    second = rig.put(empty(other), "two")
    rig.disk.gate.set()
    assert rig.write_back.stop(LIMIT_SECONDS)
    # One always may wait, however large.
    assert rig.on_disk() == first
    assert rig.on_disk(other) == without_kv(second)


def test_a_stop_saves_what_waits(rig: Rig) -> None:
    """All of it, in time."""
    rig.disk.gate.clear()
    told = rig.put(rig.put(empty(), "one"), "two")
    threading.Timer(0.05, rig.disk.gate.set).start()
    assert rig.write_back.stop(LIMIT_SECONDS)
    assert rig.on_disk() == told


def test_a_stop_does_not_wait_for_a_broken_disk(rig: Rig) -> None:
    """It says that something is unsaved."""
    rig.disk.broken = True
    rig.put(empty(), "one")
    assert not rig.write_back.stop(LIMIT_SECONDS)
    assert rig.on_disk() is None


def test_a_session_that_was_forgotten_while_its_save_failed_does_not_come_back(rig: Rig) -> None:
    """The retry has nothing left to save."""
    rig.disk.gate.clear()
    rig.disk.broken = True
    rig.put(empty(), "one")
    assert rig.disk.reached.wait(LIMIT_SECONDS)
    threading.Timer(0.05, rig.disk.gate.set).start()
    rig.write_back.forget(KEY)
    rig.disk.broken = False
    assert not rig.write_back.flush(0.0) or rig.write_back.find(KEY) is None
    rig.put(empty(SessionKey("local", "other")), "mine")
    assert rig.write_back.flush(LIMIT_SECONDS)
    assert rig.on_disk() is None


def test_a_session_whose_file_is_broken_holds_up_no_other(rig: Rig) -> None:
    """It is tried again later, and once more at the end."""
    bad = rig.put(empty(), "one")
    assert rig.write_back.flush(LIMIT_SECONDS)
    save = rig.store.save

    def refuse(conversation: Conversation) -> None:
        if conversation.key == KEY:
            raise OSError(errno.EIO, "a bad sector")
        save(conversation)

    rig.store.save = refuse  # type: ignore[method-assign]
    rig.put(bad, "two")
    other = SessionKey("local", "other")
    told = rig.put(empty(other), "mine")
    assert not rig.write_back.stop(LIMIT_SECONDS)
    assert rig.on_disk(other) == told
    assert rig.on_disk() == bad


def test_a_forgotten_session_is_not_saved_behind_its_end(rig: Rig) -> None:
    """Neither what waits nor what is being saved comes back; others' turns do."""
    rig.disk.gate.clear()
    rig.put(rig.put(empty(), "one"), "two")
    other = SessionKey("local", "other")
    rig.put(empty(other), "mine")
    assert rig.disk.reached.wait(LIMIT_SECONDS)
    threading.Timer(0.05, rig.disk.gate.set).start()
    rig.write_back.forget(KEY)
    rig.store.delete(KEY)
    assert rig.write_back.flush(LIMIT_SECONDS)
    assert rig.on_disk() is None
    assert rig.on_disk(other) is not None


def test_a_folder_that_another_daemon_still_has_is_waited_for(tmp_path: Path) -> None:
    """What is said meanwhile is saved there when it has left."""
    old = store_in(tmp_path)
    rig = Rig(tmp_path)
    assert not rig.store.is_open
    told = rig.put(empty(), "one")
    assert not rig.write_back.flush(0.05)
    old.close()
    assert rig.write_back.flush(LIMIT_SECONDS)
    assert rig.store.is_open
    assert rig.write_back.stop(LIMIT_SECONDS)
    rig.store.close()
    found = open_store(tmp_path).load(KEY, MODEL)
    assert isinstance(found, Found)
    assert (found.conversation, found.end) == (told, file_of(tmp_path).stat().st_size)


def test_a_folder_that_another_daemon_keeps_is_given_up(tmp_path: Path) -> None:
    """Conversations are kept elsewhere, until the end, and the folder is not touched."""
    old = store_in(tmp_path)
    rig = Rig(tmp_path, open_seconds=0.0)
    told = rig.put(empty(), "one")
    assert rig.write_back.flush(LIMIT_SECONDS)
    assert rig.store.is_open
    assert rig.on_disk() == told
    assert not list(tmp_path.glob("*/*.session"))
    assert rig.write_back.stop(LIMIT_SECONDS)
    rig.store.close()
    old.close()


def test_who_waits_for_a_folder_can_be_stopped(tmp_path: Path) -> None:
    """At once; what it was told is not saved, and it says so."""
    old = store_in(tmp_path)
    rig = Rig(tmp_path)
    rig.put(empty(), "one")
    assert not rig.write_back.stop(LIMIT_SECONDS)
    assert not rig.write_back.is_whole
    old.close()


def test_the_text_of_what_waits_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without keys and values, thousands of long conversations would fill the memory; the oldest go, which is told."""
    monkeypatch.setattr(waiting, "_LEAST_TEXT_BYTES", 10_000)
    rig = Rig(tmp_path, unsaved_bytes=0)
    rig.disk.gate.clear()
    rig.put(empty(SessionKey("local", "at work")), "one")
    assert rig.disk.reached.wait(LIMIT_SECONDS)
    for number in range(9):
        rig.put(empty(SessionKey("local", str(number))), "x" * 1000)
    left = [int(each.key.session_id) for each in rig.write_back.unsaved_of("local") if each.key.session_id != "at work"]
    assert left
    assert left == list(range(left[0], 9))
    assert left[0] > 0
    held = sum(each.text_bytes for each in rig.write_back.unsaved_of("local"))
    assert held <= 10_000
    rig.disk.gate.set()
    assert not rig.write_back.stop(LIMIT_SECONDS)


def test_what_waits_is_counted_once_however_much_comes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the event loop that puts, and a slow disk that makes much wait."""
    rig.disk.gate.clear()
    counted: list[SessionKey] = []
    for name in ("kv_bytes", "text_bytes"):
        of = getattr(Conversation, name).fget

        def noted(told: Conversation, of: Callable[[Conversation], int] = of) -> int:
            counted.append(told.key)
            return of(told)

        monkeypatch.setattr(Conversation, name, property(noted))
    for number in range(20):
        rig.put(empty(SessionKey("local", str(number))), "text")
    assert rig.write_back.unsaved == 20
    assert len(counted) == 2 * 20


def test_what_a_crash_would_lose_is_told(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """In figures, and with each save that fails: how many sessions, and since when."""
    assert rig.write_back.stats.unsaved_sessions == 0
    rig.disk.broken = True
    rig.put(empty(), "one")
    rig.put(empty(SessionKey("local", "other")), "two")
    assert not rig.write_back.flush(0.05)
    stats = rig.write_back.stats
    assert (stats.unsaved_sessions, stats.sessions, stats.saves) == (2, 2, 0)
    assert stats.unsaved_seconds >= 0.05
    assert stats.failed_saves > 0
    failed = next(record for record in caplog.records if "could not be saved" in record.message)
    assert vars(failed)["unsaved_sessions"] in (1, 2)
    assert vars(failed)["unsaved_seconds"] >= 0
    rig.disk.broken = False
    assert rig.write_back.flush(LIMIT_SECONDS)
    assert rig.write_back.stop(LIMIT_SECONDS)
    stats = rig.write_back.stats
    assert (stats.unsaved_sessions, stats.unsaved_seconds, stats.sessions, stats.saves) == (0, 0.0, 2, 2)
    assert stats.disk_bytes > 0


def test_a_save_that_hangs_is_told_once(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next turn of anybody; the thread is there all the while."""
    monkeypatch.setattr(write_back, "STUCK_SECONDS", -1.0)
    rig.disk.gate.clear()
    rig.put(empty(), "one")
    assert rig.disk.reached.wait(LIMIT_SECONDS)
    for name in ("a", "b"):
        rig.put(empty(SessionKey("local", name)), "two")
    assert [record.message for record in caplog.records].count("a save hangs: the disk does not answer") == 1
    assert rig.write_back.is_whole


def test_what_is_known_is_told_while_a_disk_hangs(rig: Rig) -> None:
    """Whoever asks for figures waits for no disk."""
    rig.put(empty(), "one")
    assert rig.write_back.flush(LIMIT_SECONDS)
    rig.disk.reached.clear()
    rig.disk.gate.clear()
    rig.put(empty(SessionKey("local", "other")), "two")
    assert rig.disk.reached.wait(LIMIT_SECONDS)
    assert rig.write_back.stats.sessions >= 1
    assert rig.write_back.stats.unsaved_sessions == 1
