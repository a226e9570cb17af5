"""Appending to files so that a crash at any moment leaves what was there before, and at most a torn end behind it."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

Piece = bytes | memoryview

PARTIAL = ".partial"
"""Suffix of a file that is being written; what is left over from a crash is of no use."""
_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700
# Linux moves at most 0x7ffff000 bytes in one call (read(2)).
_MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that is being read.

    Attributes:
        size: bytes that it had when it was opened.
        read: at most so many bytes (the second) from a place (the first); fewer where the file ends. Raises OSError.
    """

    path: Path
    size: int
    read: Callable[[int, int], bytes]


class Disk:
    """The file system, as far as conversations need it. Every method may raise OSError.

    Tests put faults behind its primitives, `_write` to `_sync`, as a disk would.
    """

    def write(self, path: Path, pieces: Sequence[Piece]) -> int:
        """Put a new file in the place of whatever there is, durably: a crash leaves the one or the other.

        The folder is made, and all for their owner alone. Returns the file's size.
        """
        self._make_folder(path.parent)
        partial = path.with_suffix(PARTIAL)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        end = self._at(partial, flags, 0, pieces)
        try:
            self._rename(partial, path)
        except OSError:
            # It would take its place until the next start.
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
        self._sync_folder(path.parent)
        return end

    def append(self, path: Path, at: int, pieces: Sequence[Piece]) -> int:
        """Put `pieces` behind the first `at` bytes of a file, in place of whatever lies there, durably.

        If it raises, the first `at` bytes are as they were; behind them there may be a torn piece, which the next
        `append` replaces. Without pieces it makes durable what is there, the name included. Returns the file's size.
        """
        end = self._at(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, at, pieces)
        if not pieces:
            self._sync_folder(path.parent)
        return end

    @contextlib.contextmanager
    def reading(self, path: Path) -> Iterator["OpenFile"]:
        """A file to read; it stays readable while the block runs, although somebody removes it meanwhile."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            yield OpenFile(path, os.fstat(descriptor).st_size, partial(self._read_all, descriptor))
        finally:
            os.close(descriptor)

    def size(self, path: Path) -> int:
        """Bytes of a file. Raises FileNotFoundError."""
        return path.stat(follow_symlinks=False).st_size

    def rename(self, path: Path, target: Path) -> None:
        """Give a file another name in its folder, in place of whatever has it, durably."""
        self._rename(path, target)
        self._sync_folder(path.parent)

    def keep(self, path: Path, target: Path) -> None:
        """Give a file a second name in its folder, in place of whatever has it, durably: `write` leaves that one alone.

        Where a file system has no second names, the file gets the other one.
        """
        target.unlink(missing_ok=True)
        try:
            self._link(path, target)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            self._rename(path, target)
        self._sync_folder(path.parent)

    def remove(self, path: Path) -> None:
        """Remove a file, durably; none is fine."""
        path.unlink(missing_ok=True)
        # Also if it was gone: its removal may be one whose sync failed.
        if path.parent.exists():
            self._sync_folder(path.parent)

    def _at(self, path: Path, flags: int, at: int, pieces: Sequence[Piece]) -> int:
        descriptor = os.open(path, flags, _PRIVATE_FILE)
        try:
            self._cut(descriptor, at)
            end = at
            for piece in pieces:
                end = self._write_all(descriptor, piece, end)
            self._sync(descriptor)
        except OSError:
            # So that the space of what was not finished is free again; a disk that refuses this too changes nothing.
            with contextlib.suppress(OSError):
                self._cut(descriptor, at)
            raise
        finally:
            os.close(descriptor)
        return end

    def _write_all(self, descriptor: int, piece: Piece, at: int) -> int:
        left = memoryview(piece).cast("B")
        while left:
            written = self._write(descriptor, left[:_MOST_BYTES], at)
            if written <= 0:
                raise OSError("the disk took none of what was written")
            left, at = left[written:], at + written
        return at

    def _read_all(self, descriptor: int, offset: int, size: int) -> bytes:
        first = self._read(descriptor, min(size, _MOST_BYTES), offset)
        pieces, got = [first], len(first)
        while pieces[-1] and got < size:
            pieces.append(self._read(descriptor, min(size - got, _MOST_BYTES), offset + got))
            got += len(pieces[-1])
        return first if len(pieces) == 1 else b"".join(pieces)

    def _make_folder(self, folder: Path) -> None:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
            try:
                self._sync_folder(each.parent)
            except OSError:
                # So that the next try syncs it as well.
                with contextlib.suppress(OSError):
                    each.rmdir()
                raise

    def _sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, piece: memoryview, at: int) -> int:
        return os.pwrite(descriptor, piece, at)

    def _read(self, descriptor: int, size: int, at: int) -> bytes:
        return os.pread(descriptor, size, at)

    def _rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def _link(self, source: Path, target: Path) -> None:
        target.hardlink_to(source)

    def _cut(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def _sync(self, descriptor: int) -> None:
        os.fsync(descriptor)
