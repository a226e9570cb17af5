"""A file without a name, for what is on its way: nobody finds it, and it is gone when its holder is."""

import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from autoglmd.host.disk import PARTIAL, OpenFile, Piece

_PRIVATE_FOLDER = 0o700


class Spool:
    """Safe from any thread, one call at a time: closing waits for the call that runs.

    Where the file system knows no files without names it has one for a moment, for its owner alone, that ends with
    `.partial`.
    """

    def __init__(self, folder: Path) -> None:
        """Name the folder, which is made if it is missing; nothing is there before something is appended."""
        self._folder = folder
        self._lock = threading.RLock()
        self._file: IO[bytes] | None = None
        self._closed = False
        self.size = 0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep it open while the block runs, for what is brought to be put into it. Raises OSError: it is closed."""
        with self._lock:
            self._check_open()
            yield

    def append(self, pieces: Iterable[Piece]) -> None:
        """Put pieces behind what there is. Raises OSError."""
        with self._lock:
            file = self._opened()
            for piece in pieces:
                left = memoryview(piece).cast("B")
                while left:
                    written = os.pwrite(file.fileno(), left, self.size)
                    if written <= 0:
                        raise OSError("the disk took none of what was written")
                    left, self.size = left[written:], self.size + written

    def read(self, at: int, size: int) -> bytes:
        """At most so many bytes from a place; fewer where it ends. Raises OSError."""
        pieces: list[bytes] = []
        with self._lock:
            file = self._opened()
            while size > 0 and (piece := os.pread(file.fileno(), size, at)):
                pieces.append(piece)
                at, size = at + len(piece), size - len(piece)
        return b"".join(pieces)

    def as_file(self, called: str) -> OpenFile:
        """To be read like any other; `called` is what errors call it."""
        return OpenFile(Path(called), self.size, lambda at, size: self.read(at, min(size, self.size)))

    def close(self) -> None:
        """Let it go; who still comes is refused."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()
            self._file = None

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "nobody waits for it any more")

    def _opened(self) -> IO[bytes]:
        self._check_open()
        if self._file is None:
            self._folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder, suffix=PARTIAL, buffering=0)  # noqa: SIM115 - see close
        return self._file
