"""Folders that are whole after a crash at any moment."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autoglmd.host.files import reading_directory, recover_directory, replacing_directory

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

LIMIT_SECONDS = 20.0
READER = """
import sys
from pathlib import Path
from autoglmd.host.files import reading_directory
with reading_directory(Path(sys.argv[1])):
    print((Path(sys.argv[1]) / "a").read_text(), end="")
"""


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


def test_a_writer_waits_for_who_reads_and_who_reads_for_a_writer(tmp_path: Path) -> None:
    """Nobody loads a mixture of the old and the new; readers do not wait for each other."""
    target = old_folder(tmp_path)
    with replacing_directory(target) as staging:
        (staging / "a").write_text("new")
        reader = subprocess.Popen([sys.executable, "-c", READER, target], stdout=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(0.5)
    assert reader.communicate(timeout=LIMIT_SECONDS)[0] == b"new"
    with reading_directory(target):
        assert subprocess.check_output([sys.executable, "-c", READER, target], timeout=LIMIT_SECONDS) == b"new"
        writer = subprocess.Popen([sys.executable, "-c", CRASHING_WRITER, target, "-1"])
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(0.5)
    assert writer.wait(LIMIT_SECONDS) == 0


def test_a_folder_that_nobody_ever_wrote_can_be_read(tmp_path: Path) -> None:
    """Without its lock file, which a reader may not be able to make."""
    with reading_directory(tmp_path / "absent" / "t"):
        assert not (tmp_path / "absent").exists()


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
