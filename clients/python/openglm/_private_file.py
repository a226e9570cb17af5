"""A file for its owner's eyes, which is there when it is whole."""

import errno
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self


class PrivateFile:
    """Written beside its place, with mode 0600, and put there by `keep`. Without that nothing is left behind."""

    def __init__(self, path: Path) -> None:
        """Begin it. Raises OSError if there is no place for it, or something else than a file in that place."""
        if path.exists() and not path.is_file():
            # `keep` would put a file in the place of a device.
            raise OSError(errno.EINVAL, "it is there, and no regular file", str(path))
        # Where a link leads to, as everybody writes; a link of /dev itself would be replaced else.
        self._path = path = Path(os.path.realpath(path))
        # mkstemp's mode is 0600, and its name nobody could know before.
        number, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self._fresh = Path(fresh)
        self._file = os.fdopen(number, "wb")
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # It writes what is left to write, so it fails where the disk is full.
            self._file.close()
        finally:
            self._fresh.unlink(missing_ok=True)

    def write(self, data: bytes) -> int:
        """Add to it. Returns its bytes so far."""
        self._file.write(data)
        self._bytes += len(data)
        return self._bytes

    def keep(self) -> int:
        """It is whole: put it in its place. Returns its bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._fresh.replace(self._path)
        return self._bytes
