"""What the box refuses a build: disk, memory, permission; each a `HostError` with numbers and a remedy."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from autoglmd.errors.base import AutoglmError, HostError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
OTHERS = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EFBIG)
MEMORY_WORDS = ("bad_alloc", "MemoryError", "can't allocate memory", "Failed to allocate memory", "Unable to allocate")
"""How onnxruntime, Python, torch and numpy say that there is no memory."""
MEMORY_REMEDY = "Close other programs, add swap, or build on a larger machine and copy OUT; --no-measure needs less."


@contextlib.contextmanager
def host_limits(folder: Path, staged: Path | None = None) -> Iterator[None]:
    """Raise `HostError` for what the system refuses within the block; other errors pass.

    `folder` is where the build writes; `staged`, a folder whose size is part of what to know of a full disk.
    """
    try:
        yield
    except AutoglmError:
        raise
    except Exception as error:
        if not is_refusal(error) and not isinstance(error, OSError):
            raise
        raise HostError(_sentence(error, folder, staged)) from error


def is_refusal(error: BaseException) -> bool:
    """Tell whether `error` is about the box, not about what was read."""
    if isinstance(error, OSError) and error.errno in (*DISK_FULL, *NOT_ALLOWED, *OTHERS):
        return True
    return isinstance(error, MemoryError) or says_memory(str(error))


def says_memory(text: str) -> bool:
    """Tell whether an error's text is one of a failed allocation."""
    return any(word in text for word in MEMORY_WORDS)


def memory_left() -> str:
    """Return how much memory this machine has and how much of it can be had, as a sentence."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return f"{kilobytes['MemAvailable'] // 1024} of {kilobytes['MemTotal'] // 1024} MiB are available."


def _sentence(error: Exception, folder: Path, staged: Path | None) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in DISK_FULL:
        return _disk_full(folder, staged)
    if number in NOT_ALLOWED:
        path = getattr(error, "filename", None) or folder
        return f"{path} may not be read or written ({error}). Change its permissions, or choose another folder."
    if number == errno.ENOMEM or not isinstance(error, OSError):
        return f"Not enough memory to build ({_first_line(error)}). {memory_left()} {MEMORY_REMEDY}"
    return f"The system refused what the build needs: {_first_line(error)}. Put it right and build again."


def _disk_full(folder: Path, staged: Path | None) -> str:
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    disk = shutil.disk_usage(there)
    taken = f"; the build had {_size_bytes(staged) >> 20} MiB there when it ended" if staged else ""
    return (
        f"The disk of {folder} is full: {disk.free >> 20} of {disk.total >> 20} MiB are free{taken}. It takes 4 bytes "
        "per parameter, and 1 more for each INT8 form. Free some space, choose OUT on another disk, or name one "
        "--scheme to stage one form less."
    )


def _size_bytes(folder: Path) -> int:
    """Return the size of what is in `folder` itself, not of what its links point to."""
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
