"""Temporary folders: they end with their daemon, or soon after it."""

import shutil
import tempfile
from pathlib import Path

import pytest

from autoglmd.sessions.folder import SessionFolder


@pytest.fixture(name="temporary", autouse=True)
def use_a_temporary_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """So that no other daemon's are looked at."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_what_a_killed_daemon_left_is_removed_by_the_next(tmp_path: Path, temporary: Path) -> None:
    """And nothing of one that is there."""
    mine = SessionFolder(tmp_path / "sessions").elsewhere()
    assert mine is not None
    left = temporary / "autoglmd-sessions-killed"
    shutil.copytree(mine.path, left)
    (left / "words").write_text("secret")
    other = SessionFolder(tmp_path / "sessions").elsewhere()
    assert other is not None
    assert sorted(temporary.iterdir()) == sorted([mine.path, other.path])
    mine.leave()
    other.leave()
    assert list(temporary.iterdir()) == []


def test_what_is_no_daemons_folder_is_left_alone(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One without a lock, one that only points elsewhere, and another user's."""
    precious = tmp_path / "precious"
    (temporary / "autoglmd-sessions-new").mkdir()
    shutil.copytree(make_left(temporary / "autoglmd-sessions-others"), precious)
    (temporary / "autoglmd-sessions-link").symlink_to(precious)
    user = tmp_path.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: user + 1)
    assert names_after_a_start(tmp_path, temporary) == {"new", "others", "link"}
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert names_after_a_start(tmp_path, temporary) == {"new", "link"}
    assert (precious / ".lock").exists()


def make_left(folder: Path) -> Path:
    """A folder as a killed daemon leaves it."""
    folder.mkdir()
    (folder / ".lock").touch()
    return folder


def names_after_a_start(folder: Path, temporary: Path) -> set[str]:
    """What is there when a daemon has had a temporary folder."""
    made = SessionFolder(folder / "sessions").elsewhere()
    assert made is not None
    made.leave()
    return {path.name.removeprefix("autoglmd-sessions-") for path in temporary.iterdir()}
