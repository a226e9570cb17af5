"""Damaged files: set aside, so that nobody reads them again or writes over them, and removed like what is unused."""

import logging
from dataclasses import dataclass
from pathlib import Path

from autoglmd.host.disk import Disk

log = logging.getLogger(__name__)

UNREADABLE = ".unreadable"
"""Suffix of such a file. Somebody may want to look at it."""


@dataclass(frozen=True, slots=True)
class _Aside:
    """A file that was set aside, its size, and when that was, in seconds since 1970."""

    path: Path
    bytes: int
    at: float


class Quarantine:
    """Of one folder. Only the thread that tidies up calls it."""

    def __init__(self, disk: Disk) -> None:
        """Begin with nothing; `look` finds what an earlier daemon set aside."""
        self._disk = disk
        self._known: list[_Aside] = []

    @property
    def held_bytes(self) -> int:
        """What the files take."""
        return sum(each.bytes for each in self._known)

    def look(self, folder: Path) -> None:
        """Find what there is."""
        self._known = []
        for path in folder.glob(f"*/*{UNREADABLE}"):
            try:
                self._known.append(_aside(path))
            except OSError as error:
                log.warning("a file that was set aside cannot be looked at: %s", error, extra={"path": str(path)})

    def add(self, path: Path) -> None:
        """Set a file aside. Raises OSError."""
        target = path.with_suffix(UNREADABLE)
        self._disk.rename(path, target)
        self._known = [*(each for each in self._known if each.path != target), _aside(target)]
        log.warning("nothing can be read of a session's file, and it is set aside", extra={"path": str(target)})

    def keep(self, path: Path) -> None:
        """Keep a file beside the one that is about to be written in its place. Raises OSError."""
        target = path.with_suffix(UNREADABLE)
        self._disk.keep(path, target)
        self._known = [*(each for each in self._known if each.path != target), _aside(target)]
        log.warning("a session's file is damaged: it is kept aside and written anew", extra={"path": str(target)})

    def tidy(self, over_bytes: int, oldest: float) -> int:
        """Remove those that are too old, and as many as free so many bytes. Returns the bytes that were freed.

        One that the disk keeps is tried again the next time, and keeps no other from going.
        """
        # Whoever deletes a session has removed what was set aside of it, too.
        self._known = [each for each in self._known if each.path.exists()]
        freed = 0
        for each in sorted(self._known, key=lambda aside: aside.at):
            if (each.at < oldest or freed < over_bytes) and self._could_remove(each):
                self._known.remove(each)
                freed += each.bytes
        return freed

    def _could_remove(self, aside: _Aside) -> bool:
        try:
            self._disk.remove(aside.path)
        except OSError as error:
            log.warning("a file that was set aside cannot be removed: %s", error, extra={"path": str(aside.path)})
            return False
        return True


def _aside(path: Path) -> _Aside:
    """A file that is there. Raises OSError."""
    facts = path.stat(follow_symlinks=False)
    # A file's own times are those of what was in it; this one is when it was renamed.
    return _Aside(path, facts.st_size, facts.st_ctime)
