"""What the kernel keeps of files in memory."""

from __future__ import annotations

import os
from pathlib import Path


def drop(folder: Path) -> None:
    """Let the kernel forget the contents of all files under a folder, so that the next read is the disk's.

    What is not written yet is written first: the kernel keeps pages that are not. Names and sizes stay known.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
