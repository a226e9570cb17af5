"""A daemon with another key, or without, touches nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autoglmd.errors.base import ConfigError
from autoglmd.host.disk import Disk
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.contents import KEY_CHECK
from autoglmd.sessions.key_check import CHANGING, write_key_check
from autoglmd.sessions.seal import Seal
from tests.support.conversations import KEY, empty
from tests.support.seals import OTHER, PLAIN, SEALED
from tests.support.session_stores import OPEN, open_store, save_turn


def filled(folder: Path, seal: Seal) -> Path:
    """A folder with three conversations."""
    store = open_store(folder, seal=seal)
    for name in "abc":
        save_turn(store, empty(SessionKey("local", name)), f"say {name}")
    store.delete(SessionKey("local", "c"))
    OPEN.pop().close()
    return folder


def everything_in(folder: Path) -> dict[Path, bytes]:
    """All files, byte for byte."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def nothing(folder: Path) -> None:
    """Leave it as it is."""


def without_check(folder: Path) -> None:
    """Lose the small file."""
    (folder / KEY_CHECK).unlink()


def with_broken_check(folder: Path) -> None:
    """Break it."""
    path = folder / KEY_CHECK
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def without_conversations(folder: Path) -> None:
    """Nothing but the small file tells."""
    for path in folder.glob("*/*.session"):
        path.unlink()


@pytest.mark.parametrize("harm", [nothing, without_check, with_broken_check, without_conversations])
@pytest.mark.parametrize(
    ("seal", "words"), [(OTHER, "another key"), (PLAIN, "no key is configured")], ids=["wrong key", "no key"]
)
def test_a_folder_that_was_encrypted_with_another_key_is_refused_and_untouched(
    tmp_path: Path, harm: Callable[[Path], None], seal: Seal, words: str
) -> None:
    """Byte for byte, and the folder is free for the right one."""
    harm(filled(tmp_path, SEALED))
    before = everything_in(tmp_path)
    with pytest.raises(ConfigError, match=words):
        open_store(tmp_path, seal=seal)
    assert everything_in(tmp_path) == before


def test_a_folder_that_was_not_encrypted_is_refused_and_untouched(tmp_path: Path) -> None:
    """Half of it in the clear would be believed to be encrypted."""
    before = everything_in(filled(tmp_path, PLAIN))
    with pytest.raises(ConfigError, match="not encrypted, and a key is configured"):
        open_store(tmp_path, seal=SEALED)
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("harm", [without_check, with_broken_check])
def test_a_check_that_was_lost_is_made_again_by_who_has_the_key(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """The conversations tell as well, so that one broken file does not lock all of them up."""
    harm(filled(tmp_path, SEALED))
    store = open_store(tmp_path, seal=SEALED)
    assert len(store.catalog.of("local")) == 2
    without_conversations(tmp_path)
    open_store(tmp_path, seal=SEALED)


def test_an_empty_folder_takes_any_key_and_forgets_what_was_known_in_the_clear(tmp_path: Path) -> None:
    """Names of conversations that there were stay in a database for long."""
    filled(tmp_path, PLAIN)
    without_conversations(tmp_path)
    (tmp_path / "catalog.broken").write_bytes(b"local")
    save_turn(open_store(tmp_path, seal=SEALED), empty(KEY), "one")
    assert not (tmp_path / "catalog.broken").exists()
    assert all(b"local" not in content for content in everything_in(tmp_path).values())


@pytest.mark.parametrize("seal", [PLAIN, SEALED, OTHER], ids=["none", "before", "after"])
def test_a_folder_whose_key_is_being_changed_is_refused(tmp_path: Path, seal: Seal) -> None:
    """To any daemon, with what to do."""
    write_key_check(filled(tmp_path, SEALED), CHANGING, Disk())
    before = everything_in(tmp_path)
    with pytest.raises(ConfigError, match="Run `autoglmd change-session-key` again"):
        open_store(tmp_path, seal=seal)
    assert everything_in(tmp_path) == before


def test_a_disk_that_does_not_tell_is_not_written_to(tmp_path: Path) -> None:
    """It is treated as another daemon's folder, so that conversations are kept elsewhere if it never tells."""

    class Unreadable(Disk):
        def _read(self, descriptor: int, size: int, at: int) -> bytes:
            raise OSError(5, "Input/output error")

    before = everything_in(filled(tmp_path, SEALED))
    store = open_store(tmp_path, Unreadable(), seal=SEALED)
    assert not store.is_open
    with pytest.raises(OSError, match="whether its conversations are encrypted cannot be read"):
        save_turn(store, empty(), "one")
    assert everything_in(tmp_path) == before
    assert open_store(tmp_path, seal=SEALED).is_open


def test_why_a_folder_is_refused_is_said_once_and_true(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """However often it is tried; and again where the reason is another one."""

    class Unreadable(Disk):
        why = "Input/output error"

        def _read(self, descriptor: int, size: int, at: int) -> bytes:
            raise OSError(5, self.why)

    disk = Unreadable()
    store = open_store(filled(tmp_path, SEALED), disk, seal=SEALED)
    assert [store.open() for _ in range(150)] == [False] * 150
    disk.why = "Permission denied"
    assert not store.open()
    assert ["Permission denied" in record.message for record in caplog.records] == [False, True]
    assert store.open_elsewhere()
    last = caplog.records[-1].message
    assert "another daemon" not in last
    assert "Permission denied" in last


def test_without_a_key_a_disk_that_does_not_tell_is_used(tmp_path: Path) -> None:
    """Nothing that is encrypted is taken for anything else later, and the daemon serves."""

    class Unreadable(Disk):
        def _read(self, descriptor: int, size: int, at: int) -> bytes:
            raise OSError(5, "Input/output error")

    filled(tmp_path, PLAIN)
    assert open_store(tmp_path, Unreadable(), seal=PLAIN).is_open


def test_a_folder_that_cannot_be_written_yet_is_no_error(tmp_path: Path) -> None:
    """The daemon serves; when the disk takes something, the key is told by that."""
    (tmp_path / "in the way").write_text("")
    store = open_store(tmp_path / "in the way" / "sessions", seal=SEALED)
    with pytest.raises(OSError, match="Not a directory"):
        save_turn(store, empty(), "one")


def test_a_copied_folder_opens_with_the_key(tmp_path: Path) -> None:
    """Nothing depends on where it lies."""
    shutil.copytree(filled(tmp_path / "one", SEALED), tmp_path / "two")
    store = open_store(tmp_path / "two", seal=SEALED)
    assert store.reconcile() == 0
    assert {entry.session_id for entry in store.catalog.of("local")} == {"a", "b"}
