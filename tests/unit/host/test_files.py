"""Files and folders that are whole after a crash at any moment."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autoglmd.host.files import recover_directory, remove_leftovers, replace_file, replacing_directory

CRASHING_WRITER = """
import os, sys
from pathlib import Path
step = int(sys.argv[2])
calls = 0

def maybe_die(event, args):
    global calls
    if event in ("os.rename", "os.mkdir", "shutil.rmtree", "os.remove", "os.rmdir"):
        calls += 1
        if calls == step:
            os._exit(9)

from autoglmd.host.files import replacing_directory
sys.addaudithook(maybe_die)
with replacing_directory(Path(sys.argv[1])) as staging:
    (staging / "a").write_text("new")
    (staging / "b").write_text("new")
"""


def test_a_replaced_file_has_the_new_content_and_mode(tmp_path: Path) -> None:
    """And nothing lies beside it."""
    path = tmp_path / "f"
    path.write_text("old")
    replace_file(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up while we write."""
    path = tmp_path / "f"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", raises(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_data_is_on_disk_before_its_name_and_the_name_before_we_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that the module promises: fsync the file, rename, fsync the folder."""
    steps = record_steps(monkeypatch)
    replace_file(tmp_path / "f", b"new")
    assert steps == ["fsync file", "rename", "fsync folder"]


def test_what_dead_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """Only this file's leftovers."""
    for name in ("f", ".f.abc.tmp", ".g.abc.tmp", ".f.keep"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "f")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".f.keep", ".g.abc.tmp", "f"]


def test_a_replaced_folder_has_only_the_new_content(tmp_path: Path) -> None:
    """Not a merge."""
    target = old_folder(tmp_path)
    with replacing_directory(target) as staging:
        (staging / "b").write_text("new")
    assert content(target) == {"b": "new"}
    assert visible(tmp_path) == ["t"]


def test_a_folder_that_was_not_there_is_made_with_its_parents(tmp_path: Path) -> None:
    """The first time is no special case for the caller."""
    with replacing_directory(tmp_path / "p" / "t") as staging:
        (staging / "a").write_text("new")
    assert content(tmp_path / "p" / "t") == {"a": "new"}


def test_a_folder_whose_writer_fails_is_as_it_was(tmp_path: Path) -> None:
    """The error comes through."""
    target = old_folder(tmp_path)
    with pytest.raises(FileNotFoundError), replacing_directory(target) as staging:
        (staging / "missing").rename(staging / "a")
    assert content(target) == {"a": "old"}
    assert visible(tmp_path) == ["t"]


def test_every_file_is_on_disk_before_the_folder_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In subfolders too; then the folders; then the rename; then the name."""
    steps = record_steps(monkeypatch)
    with replacing_directory(tmp_path / "t") as staging:
        (staging / "sub").mkdir()
        (staging / "sub" / "a").write_text("new")
        (staging / "b").write_text("new")
    assert steps == ["fsync file", "fsync folder", "fsync file", "fsync folder", "rename", "fsync folder"]


@pytest.mark.parametrize("step", range(1, 8))
def test_a_crash_at_any_step_leaves_the_old_folder_or_the_new_one(tmp_path: Path, step: int) -> None:
    """Killed before each change of a name in turn; recovery then finds one whole version, and tidies up."""
    target = old_folder(tmp_path)
    subprocess.run([sys.executable, "-c", CRASHING_WRITER, target, str(step)], check=False)
    recover_directory(target)
    assert content(target) in ({"a": "old"}, {"a": "new", "b": "new"})
    assert visible(tmp_path) == ["t"]


def test_a_writer_after_a_crash_needs_no_separate_recovery(tmp_path: Path) -> None:
    """Replacing begins with it."""
    target = old_folder(tmp_path)
    target.rename(tmp_path / ".t.old")
    with replacing_directory(target) as staging:
        assert content(target) == {"a": "old"}
        (staging / "a").write_text("new")
    assert content(target) == {"a": "new"}


@pytest.mark.parametrize(
    ("there", "left"),
    [
        ({"t": "1", ".t.new": "2"}, "1"),
        ({".t.new": "2"}, None),
        ({".t.new": "2", ".t.old": "1"}, "2"),
        ({".t.old": "1"}, "1"),
        ({"t": "2", ".t.old": "1"}, "2"),
        ({"t": "2", ".t.old": "1", ".t.new": "3"}, "2"),
        ({}, None),
    ],
)
def test_recovery_follows_its_table(tmp_path: Path, there: dict[str, str], left: str | None) -> None:
    """Every combination that a crash can leave."""
    for name, text in there.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(text)
    recover_directory(tmp_path / "t")
    assert visible(tmp_path) == ([] if left is None else ["t"])
    if left is not None:
        assert content(tmp_path / "t") == {"a": left}


def old_folder(parent: Path) -> Path:
    """A folder to be replaced."""
    (parent / "t").mkdir()
    (parent / "t" / "a").write_text("old")
    return parent / "t"


def content(folder: Path) -> dict[str, str]:
    """Names and texts."""
    return {entry.name: entry.read_text() for entry in folder.iterdir()}


def visible(folder: Path) -> list[str]:
    """What is there beside lock files."""
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.endswith(".lock"))


def raises(error: Exception) -> Callable[[int], None]:
    """A function that fails."""

    def fail(_descriptor: int) -> None:
        raise error

    return fail


def record_steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every fsync and rename, which still happen."""
    steps: list[str] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append("fsync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        fsync(descriptor)

    def noted(call: Callable[..., None]) -> Callable[..., None]:
        def rename_and_note(source: Path, target: Path) -> None:
            steps.append("rename")
            call(source, target)

        return rename_and_note

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted(rename))
    monkeypatch.setattr(os, "replace", noted(replace))
    return steps
