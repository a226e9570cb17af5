"""Sessions on disk: found, saved, bounded and removed.

One file per session, named by a digest of tenant and session id: nobody finds another tenant's session by guessing, and
no id can name a path. The catalog beside the files says what there is.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoglmd.errors import HostError, SessionError
from autoglmd.host.disk import PARTIAL, Disk
from autoglmd.messages import CacheMiss, SessionKey
from autoglmd.sessions import log as session_log
from autoglmd.sessions.catalog import Catalog, Entry
from autoglmd.sessions.conversation import Conversation, ModelMark
from autoglmd.sessions.expiry import SteadyClock
from autoglmd.sessions.log import Found

log = logging.getLogger(__name__)

_SUFFIX = ".session"
# A file is written anew when it holds more replaced positions than this, and than good ones.
_MOST_REPLACED_TOKENS = 4096
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may lie on disk.

    Attributes:
        disk_bytes: of all sessions; the longest unused go first.
        ttl_seconds: how long an unused session is kept.
    """

    disk_bytes: int
    ttl_seconds: float


class SessionStore:
    """Calls for different sessions may overlap, calls for one may not: whoever makes them has its lease."""

    def __init__(self, folder: Path, bounds: Bounds, disk: Disk, clock: SteadyClock) -> None:
        """Take the folder.

        A folder that cannot be made or written is no error here: each call says so, and the daemon serves.

        Args:
            folder: holds the catalog and, one level down, the files. Made if it is missing.
            bounds: what may lie there.
            disk: where the folder lies.
            clock: for ages.

        Raises:
            HostError: another daemon has the folder.
        """
        self.bounds = bounds
        self._folder = folder
        self._disk = disk
        self._clock = clock
        self._lock = _lock(folder)
        self.catalog = Catalog(folder / "catalog.sqlite")
        self._times_filled = -1
        # What was saved last, without keys and values, so that a save need not read the file.
        self._saved: OrderedDict[SessionKey, Found] = OrderedDict()

    def close(self) -> None:
        """Give the folder back."""
        self.catalog.close()
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def entry(self, key: SessionKey) -> Entry | None:
        """What the catalog knows of a session. Raises OSError."""
        return self.catalog.find(self._path(key).name)

    def begin(self, key: SessionKey, model: ModelMark) -> Conversation:
        """A session before its first turn."""
        now = self._clock.now()
        return Conversation(key, model, now, now)

    def is_expired(self, conversation: Conversation) -> bool:
        """Whether nobody has used it for too long."""
        return conversation.last_used < self._oldest

    def load(self, key: SessionKey, model: ModelMark | None) -> Found | CacheMiss:
        """What is kept of a session, with keys and values only if they are `model`'s; or why there is nothing.

        Raises:
            OSError: the disk does not give it.
            SessionError: the file is another session's, or a newer program's.
        """
        path = self._path(key)
        found = session_log.read(self._disk, path, key, model)
        if found is None:
            return CacheMiss.DAMAGED if path.exists() else self._why_gone(path)
        return CacheMiss.EXPIRED if self.is_expired(found.conversation) else found

    def save(self, conversation: Conversation) -> None:
        """Make the file hold this conversation: append what is new, or write it anew.

        Saved twice it is the same as once.

        Raises:
            OSError: the disk is full or broken. What was kept before is as it was.
            SessionError: the file is another session's, or a newer program's.
        """
        path = self._path(conversation.key)
        before = self._saved.pop(conversation.key, None)
        is_sure = before is not None and path.exists() and self._disk.size(path) == before.end
        if not is_sure:
            before = session_log.read(self._disk, path, conversation.key, None)
        if before is None or before.conversation.created != conversation.created or _is_wasteful(before):
            added, written = session_log.whole(conversation), 0
            end = self._disk.write(path, added.pieces)
        else:
            added, written = session_log.addition(before.conversation, conversation), before.kv_tokens_written
            # What was read may be a write whose sync failed: it is synced again, if there is nothing to add.
            end = before.end if is_sure and not added.pieces else self._disk.append(path, before.end, added.pieces)
        kept = 0 if before is None else min(before.conversation.kv_tokens, len(conversation.ids))
        if conversation.kv_tokens >= kept:
            self._saved[conversation.key] = Found(conversation.without_data(), end, False, written + added.kv_tokens)
        if len(self._saved) > _REMEMBERED:
            self._saved.popitem(last=False)
        self._note(_entry(path.name, conversation, end))

    def delete(self, key: SessionKey) -> bool:
        """Remove a session. False: there is none. Raises OSError."""
        self._saved.pop(key, None)
        path = self._path(key)
        there = path.exists()
        self._remove(path, "")
        return there

    def tidy(self, is_in_use: Callable[[SessionKey], bool] = lambda _: False) -> int:
        """Remove what is unused for too long, and the longest unused beyond the bytes. Returns how many went.

        Args:
            is_in_use: a session for which this is true stays for now.

        Raises:
            OSError: the disk refuses.
        """
        if self._times_filled != self.catalog.times_begun:
            self.reconcile()
        over, oldest, went = self.catalog.total_bytes() - self.bounds.disk_bytes, self._oldest, 0
        if over > 0 or any(entry.last_used < oldest for entry in self.catalog.longest_unused(1)):
            for entry in sorted(self.catalog.everything(), key=lambda each: each.last_used):
                why = CacheMiss.EXPIRED if entry.last_used < oldest else CacheMiss.EVICTED if over > 0 else None
                if why is None:
                    break
                if not is_in_use(entry.key) and self._could_remove(self._path(entry.key), why.value):
                    over, went = over - entry.bytes, went + 1
        self.catalog.forget_reasons(oldest)
        return went

    def reconcile(self) -> int:
        """Make the catalog agree with the files, as it may not after a crash. Returns how many differed.

        Reads a file only where its size is not the one that the catalog has.
        """
        for path in self._folder.glob(f"*/*{PARTIAL}"):
            self._disk.remove(path)
        known = {entry.file: entry for entry in self.catalog.everything()}
        differed = 0
        for path in self._folder.glob(f"*/*{_SUFFIX}"):
            entry = known.pop(path.name, None)
            if entry is None or entry.bytes != self._disk.size(path):
                differed += self._enter(path)
        for file in known:
            self.catalog.forget(file)
        self._times_filled = self.catalog.times_begun
        return differed + len(known)

    @property
    def _oldest(self) -> float:
        """When a session must have been used last to be kept."""
        return self._clock.oldest_kept(self.bounds.ttl_seconds)

    def _why_gone(self, path: Path) -> CacheMiss:
        # The catalog's own troubles are no reason to refuse an answer.
        with contextlib.suppress(OSError, ValueError):
            return CacheMiss(self.catalog.why_gone(path.name))
        return CacheMiss.NEW_SESSION

    def _note(self, entry: Entry) -> None:
        """Tell the catalog of what is on disk already. If it refuses, `reconcile` does it later."""
        try:
            self.catalog.put(entry)
        except OSError as error:
            self._times_filled = -1
            log.warning("%s", error)

    def _remove(self, path: Path, why: str) -> None:
        # The file first: the catalog may say more than there is, and never less.
        self._disk.remove(path)
        self.catalog.forget(path.name, why, self._clock.now())

    def _could_remove(self, path: Path, why: str) -> bool:
        """Remove a file. False: the disk refuses, which keeps no other from going."""
        try:
            self._remove(path, why)
        except OSError as error:
            log.warning("a session cannot be removed: %s", error)
            return False
        return True

    def _enter(self, path: Path) -> bool:
        """Put a file into the catalog. False: it holds nothing that could be entered."""
        try:
            found = session_log.read(self._disk, path, None, None)
        except (OSError, SessionError) as error:
            log.warning("a session's file cannot be used: %s", error, extra={"path": str(path)})
            return False
        if found is None or self._path(found.conversation.key) != path:
            log.warning("a file among the sessions is none", extra={"path": str(path)})
            return False
        self.catalog.put(_entry(path.name, found.conversation, found.end))
        if not path.exists():
            # Deleted while it was read.
            self.catalog.forget(path.name)
        return True

    def _path(self, key: SessionKey) -> Path:
        tenant = key.tenant.encode()
        # With the length in front, no two pairs are one text.
        digest = hashlib.sha256(b"%d:%b%b" % (len(tenant), tenant, key.session_id.encode())).hexdigest()
        return self._folder / digest[:2] / f"{digest}{_SUFFIX}"


def _lock(folder: Path) -> int | None:
    """The folder's lock, which the kernel drops when its holder dies; `None` where no lock file can be made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        log.warning("conversations cannot be kept in %s: %s", folder, error.strerror)
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise HostError(
            f"{folder}: another daemon keeps its conversations there. Stop it, or choose another state_dir."
        ) from None
    except OSError as error:
        # A network's file system may know no locks.
        log.warning("%s cannot be locked against a second daemon: %s", folder, error.strerror)
    return descriptor


def _is_wasteful(found: Found) -> bool:
    """Whether most of the keys and values in a file were replaced."""
    # What is held of blocks that were cut stays in them: writing them anew would free nothing.
    good = sum(block.held for block in found.conversation.blocks)
    return found.kv_tokens_written - good > max(good, _MOST_REPLACED_TOKENS)


def _entry(file: str, conversation: Conversation, size: int) -> Entry:
    return Entry(
        file=file,
        tenant=conversation.key.tenant,
        session_id=conversation.key.session_id,
        model=conversation.model.name,
        created=conversation.created,
        last_used=conversation.last_used,
        turns=conversation.turns,
        tokens=len(conversation.ids),
        bytes=size,
    )
