"""A spool: a file that nobody else sees, and that ends with its holder."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoglmd.host.spool import Spool

LIMIT_SECONDS = 10.0


def test_what_is_appended_is_read_from_any_place(tmp_path: Path) -> None:
    """Fewer bytes where it ends."""
    spool = Spool(tmp_path / "transit")
    spool.append((b"ab", memoryview(b"cde")))
    spool.append((b"", b"f"))
    file = spool.as_file("The file")
    assert (spool.size, file.size, str(file.path)) == (6, 6, "The file")
    assert (file.read(1, 3), file.read(4, 1 << 40), file.read(9, 1)) == (b"bcd", b"ef", b"")
    spool.close()


def test_nobody_finds_it_and_nothing_is_left(tmp_path: Path) -> None:
    """While it is there as little as afterwards."""
    spool = Spool(tmp_path / "transit")
    assert not (tmp_path / "transit").exists()
    spool.append((b"secret",))
    assert (tmp_path / "transit").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "transit").iterdir()) == []
    spool.close()
    assert list((tmp_path / "transit").iterdir()) == []


def test_one_that_is_closed_takes_and_gives_nothing(tmp_path: Path) -> None:
    """Whoever still worked on it is told; a second close is nothing."""
    for begun in (True, False):
        spool = Spool(tmp_path)
        if begun:
            spool.append((b"a",))
        spool.close()
        spool.close()
        with pytest.raises(OSError, match="nobody waits"):
            spool.append((b"a",))
        with pytest.raises(OSError, match="nobody waits"):
            spool.read(0, 1)


def test_closing_waits_for_who_writes(tmp_path: Path) -> None:
    """The number of a closed file may be another's a moment later."""
    spool, writing, go_on = Spool(tmp_path), threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"a"
        writing.set()
        go_on.wait(LIMIT_SECONDS)
        yield b"b"

    writer = threading.Thread(target=spool.append, args=(pieces(),))
    closer = threading.Thread(target=spool.close)
    writer.start()
    assert writing.wait(LIMIT_SECONDS)
    closer.start()
    assert closer.is_alive()
    go_on.set()
    for thread in (writer, closer):
        thread.join(LIMIT_SECONDS)
    assert spool.size == 2
