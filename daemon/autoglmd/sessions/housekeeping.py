"""What keeps the sessions' folder in order: the catalog as the files are, and no more files than may be."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from autoglmd.errors.session import SessionError, SessionLockedError, SessionNewerError
from autoglmd.host.disk import PARTIAL
from autoglmd.messages.sessions import CacheMiss, SessionKey
from autoglmd.sessions import log as session_log
from autoglmd.sessions.beginnings import beginnings_of
from autoglmd.sessions.catalog import Catalog, Entry, Kept, Usage, entry_of
from autoglmd.sessions.contents import session_files
from autoglmd.sessions.database import DiskFullError
from autoglmd.sessions.expiry import SteadyClock
from autoglmd.sessions.files import SessionFiles
from autoglmd.sessions.log import Found
from autoglmd.sessions.quarantine import Quarantine
from autoglmd.sessions.quota import Bounds, Surplus

log = logging.getLogger(__name__)

# For how long an answer can be taken up: one that ended, whose reader may not have heard of it, and one that broke off.
_ENDED_SECONDS = 3600.0
_BROKEN_OFF_SECONDS = 86400.0


class Housekeeping:
    """Only the write-back thread calls its methods; whoever may not ask a disk reads `kept`, and anybody `oldest`."""

    def __init__(self, files: SessionFiles, bounds: Bounds, clock: SteadyClock) -> None:
        self._files = files
        self._bounds = bounds
        self._clock = clock
        self._quarantine = Quarantine(files.disk)
        self._times_filled = -1
        self.kept = Kept()
        """As of the last `tidy` or `reconcile`."""

    @property
    def oldest(self) -> float:
        """When a session must have been used last to be kept."""
        return self._clock.oldest_kept(self._bounds.ttl_seconds)

    def doubt(self) -> None:
        """Compare catalog and files with the next `tidy`: the catalog did not take something."""
        self._files.is_catalog_doubted = True

    def tidy(self, is_in_use: Callable[[SessionKey], bool]) -> int:
        """Remove what is unused for too long, and the longest unused of what is too much. Returns how many went.

        Args:
            is_in_use: a session for which this is true stays for now.

        Raises:
            OSError: the catalog or the journal refuses. A file that the disk keeps is passed over.
        """
        catalog = self._files.catalog
        if self._files.is_catalog_doubted or self._times_filled != catalog.times_begun:
            self.reconcile()

        def could_remove(entry: Entry, why: CacheMiss = CacheMiss.EVICTED) -> bool:
            # Also a turn that a killed daemon told and did not save is a use.
            is_used = is_in_use(entry.key) or self._told_at(entry.file) > entry.last_used
            return not is_used and self._could_remove(self._files.path_of(entry.key), why)

        # Asked for as seldom as can be: this runs behind each save.
        oldest, usage = self.oldest, catalog.usage()
        held = sum(each.bytes for each in usage.values())
        self._quarantine.tidy(held + self._quarantine.held_bytes - self._bounds.disk_bytes, oldest)
        expired = sum(could_remove(entry, CacheMiss.EXPIRED) for entry in catalog.unused_since(oldest))
        room = replace(self._bounds, disk_bytes=max(0, self._bounds.disk_bytes - self._quarantine.held_bytes))
        surplus = Surplus(catalog, catalog.usage() if expired else usage, room, could_remove)
        evicted = surplus.remove()
        # Before anything else may refuse.
        self._count(surplus.usage, expired, evicted)
        catalog.forget_reasons(oldest)

        def is_saved(file: str, at: float) -> bool:
            entry = catalog.find(file)
            return at < oldest or (entry is not None and entry.last_used >= at)

        ended, broken_off = self._clock.oldest_kept(_ENDED_SECONDS), self._clock.oldest_kept(_BROKEN_OFF_SECONDS)
        self._files.journal.tidy(ended, broken_off, is_saved)
        return expired + evicted

    def reconcile(self) -> int:
        """Make the catalog agree with the files, as it may not after a crash. Returns how many differed.

        Reads a file only where its size is not the one that the catalog has.
        """
        folder, catalog = self._files.folder, self._files.catalog
        # Before anything is looked at: what is refused meanwhile is for the next time.
        self._files.is_catalog_doubted = False
        try:
            return self._reconcile(folder, catalog)
        except BaseException:
            self.doubt()
            raise

    def _reconcile(self, folder: Path, catalog: Catalog) -> int:
        for pattern in (f"*{PARTIAL}", f"*/*{PARTIAL}"):
            for path in folder.glob(pattern):
                self._sweep(path)
        self._quarantine.look(folder)
        known = catalog.sizes()
        # One that breaks from here on is begun anew, and filled with the next `tidy`.
        times_begun = catalog.times_begun
        differed = 0
        for path in session_files(folder):
            if known.pop(path.name, -1) != self._size(path):
                differed += self._enter(path)
        for file in known:
            catalog.forget(file)
        self._files.beginnings.refresh()
        self._times_filled = times_begun
        self._count(catalog.usage())
        return differed + len(known)

    def keep_aside(self, path: Path) -> None:
        """Keep a damaged file for whoever may want to look at it: another is about to be written. Raises OSError."""
        self._quarantine.keep(path)

    def _count(self, usage: Mapping[str, Usage], expired: int = 0, evicted: int = 0) -> None:
        self.kept = Kept(
            sum(each.sessions for each in usage.values()),
            sum(each.bytes for each in usage.values()),
            self.kept.expired + expired,
            self.kept.evicted + evicted,
        )

    def _told_at(self, file: str) -> float:
        """See Journal.told_at; 0 where a full disk does not let it be opened, since something has to make room."""
        with contextlib.suppress(DiskFullError):
            return self._files.journal.told_at(file)
        return 0.0

    def _could_remove(self, path: Path, why: CacheMiss) -> bool:
        """Remove a session. False: the disk keeps its file, which keeps no other from going.

        Raises:
            OSError: the journal refuses. Nothing was touched, and it would refuse the next one too.
        """
        self._files.forget_answer(path)
        try:
            self._files.remove_file(path, why.value, self._clock.now())
        except OSError as error:
            log.warning("a session cannot be removed: %s", error)
            if not _is_gone(path):
                return False
            # What is gone counts as gone, or others would go in its place.
            self.doubt()
        return True

    def _sweep(self, path: Path) -> None:
        try:
            self._files.disk.remove(path)
        except OSError as error:
            log.warning("what a crash left behind cannot be removed: %s", error)

    def _size(self, path: Path) -> int:
        """Bytes of a file; -2 where the disk does not tell, and reading it says what is wrong."""
        try:
            return self._files.disk.size(path)
        except OSError:
            return -2

    def _enter(self, path: Path) -> bool:
        """Put a file into the catalog. False: it holds nothing that could be entered."""
        found: Found | None = None
        try:
            found = session_log.read(self._files.disk, path, None, None, self._files.seal)
        except (OSError, SessionNewerError, SessionLockedError) as error:
            # A disk may give it another day, and a newer program, or one with the key, can read it.
            log.warning("a session's file cannot be used: %s", error, extra={"path": str(path)})
            return False
        except SessionError as error:
            log.warning("%s", error.message, extra={"path": str(path)})
        if found is None or self._files.path_of(found.conversation.key) != path:
            self._set_aside(path)
            return False
        entry = entry_of(path.name, found.conversation, found.end, found.conversation.kv_tokens)
        self._files.catalog.put(entry, beginnings_of(found.conversation))
        if not path.exists():
            # Deleted while it was read.
            self._files.catalog.forget(path.name)
        return True

    def _set_aside(self, path: Path) -> None:
        try:
            self._quarantine.add(path)
        except FileNotFoundError:
            # Deleted while it was read.
            return
        except OSError as error:
            log.warning("a file of which nothing can be read stays: %s", error, extra={"path": str(path)})
        else:
            # Whoever asks for it next is told why it is not there.
            self._files.catalog.forget(path.name, CacheMiss.DAMAGED.value, self._clock.now())


def _is_gone(path: Path) -> bool:
    try:
        path.stat(follow_symlinks=False)
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False
