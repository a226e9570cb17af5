"""A disk on which one thing goes wrong, at a moment of the test's choice."""

import errno
import os
from pathlib import Path

from autoglmd.host.disk import Disk


class Killed(BaseException):
    """The process ends here: nothing that would come behind it happens."""


class FailingDisk(Disk):
    """Fails in primitives that change a file, whenever `_fails` says so."""

    def _write(self, descriptor: int, piece: memoryview, at: int) -> int:
        if self._fails():
            # What a full disk or a dying process leaves: a part of it.
            super()._write(descriptor, piece[: len(piece) // 2], at)
            self._raise()
        return super()._write(descriptor, piece, at)

    def _rename(self, source: Path, target: Path) -> None:
        if self._fails():
            self._raise()
        super()._rename(source, target)

    def _cut(self, descriptor: int, size: int) -> None:
        if self._fails():
            self._raise()
        super()._cut(descriptor, size)

    def _sync(self, descriptor: int) -> None:
        if self._fails():
            self._raise()
        super()._sync(descriptor)

    def _fails(self) -> bool:
        """Whether this one fails."""
        raise NotImplementedError

    def _raise(self) -> None:
        """End what fails."""
        raise NotImplementedError


class FaultyDisk(FailingDisk):
    """Counts the primitives that change a file, and fails in one of them.

    Args:
        fail_at: which of them fails, from 0; the ones behind it as well, unless `once`.
        fault: an errno; `None` ends the process there, in the middle of a write.
    """

    def __init__(self, fail_at: int, fault: int | None = errno.ENOSPC, *, once: bool = False) -> None:
        self.steps = 0
        self._fail_at = fail_at
        self._fault = fault
        self._once = once

    def _fails(self) -> bool:
        self.steps += 1
        return self.steps - 1 == self._fail_at or (self.steps > self._fail_at and not self._once)

    def _raise(self) -> None:
        if self._fault is None:
            raise Killed
        raise OSError(self._fault, os.strerror(self._fault))


class ShortDisk(Disk):
    """Writes and reads a few bytes at a time, as a disk may."""

    def _write(self, descriptor: int, piece: memoryview, at: int) -> int:
        return super()._write(descriptor, piece[:7], at)

    def _read(self, descriptor: int, size: int, at: int) -> bytes:
        return super()._read(descriptor, min(size, 5), at)
