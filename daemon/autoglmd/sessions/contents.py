"""What lies in the folder of the sessions."""

from collections.abc import Iterator
from pathlib import Path

CATALOG = "catalog.sqlite"
JOURNAL = "journal.sqlite"
SUFFIX = ".session"
KEY_CHECK = "key.check"
LOCK = ".lock"


def session_files(folder: Path) -> Iterator[Path]:
    """The sessions' files, in no order."""
    return folder.glob(f"*/*{SUFFIX}")


def path_in(folder: Path, name: str) -> Path:
    """A session's file, as a seal names it."""
    return folder / name[:2] / f"{name}{SUFFIX}"


def remove_all_else(folder: Path) -> None:
    """Remove what is no conversation: indexes, which are made again, and leftovers. Raises OSError."""
    for path in folder.rglob("*"):
        if path.suffix != SUFFIX and path.name not in (LOCK, KEY_CHECK) and not path.is_dir():
            path.unlink(missing_ok=True)
