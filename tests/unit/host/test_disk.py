"""Files that a crash leaves whole, and what a disk refuses."""

import errno
from pathlib import Path

import pytest

from autoglmd.host.disk import Disk


def test_a_file_that_cannot_take_its_name_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take its place until the next start, and be counted by nobody."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "a" / "b.session"
    Disk().write(path, [b"before"])
    monkeypatch.setattr(Disk, "_rename", refuse)
    with pytest.raises(OSError, match="Input/output"):
        Disk().write(path, [b"after"])
    assert [(each.name, each.read_bytes()) for each in path.parent.iterdir()] == [("b.session", b"before")]
