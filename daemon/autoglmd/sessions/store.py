"""Sessions on disk: found, saved and removed.

One file per session, named by a digest of tenant and session id: nobody finds another tenant's session by guessing, and
no id can name a path. The catalog beside the files says what there is.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from autoglmd.host.disk import Disk
from autoglmd.messages.sessions import CacheMiss, SessionKey
from autoglmd.sessions import log as session_log
from autoglmd.sessions.additions import addition, whole
from autoglmd.sessions.beginnings import Beginnings, beginnings_of
from autoglmd.sessions.catalog import Catalog, Entry, Kept, entry_of
from autoglmd.sessions.conversation import Conversation, ModelMark
from autoglmd.sessions.expiry import SteadyClock
from autoglmd.sessions.files import SessionFiles
from autoglmd.sessions.housekeeping import Housekeeping
from autoglmd.sessions.journal import Journal
from autoglmd.sessions.log import Found
from autoglmd.sessions.memory import Memory
from autoglmd.sessions.quota import Bounds
from autoglmd.sessions.record import RecordWriter
from autoglmd.sessions.seal import Seal

log = logging.getLogger(__name__)

_REMEMBERED_BYTES = 16 << 20


class SessionStore:
    """Calls for different sessions may overlap, calls for one may not: whoever makes them has its lease."""

    def __init__(self, folder: Path, bounds: Bounds, disk: Disk, clock: SteadyClock, seal: Seal) -> None:
        """Take the folder, unless another daemon has it: see `is_open`.

        A folder that cannot be made or written is no error here: each call says so, and the daemon serves.

        Args:
            folder: holds the catalog and, one level down, the files. Made if it is missing.
            bounds: what may lie there.
            disk: where the folder lies.
            clock: for ages.
            seal: with which all that lies there was written, and will be.

        Raises:
            ConfigError: the seal is not the folder's. Nothing was touched.
        """
        self.bounds = bounds
        self._clock = clock
        self._files = SessionFiles(folder, disk, seal)
        self._keeping = Housekeeping(self._files, bounds, clock)
        # What was saved last, without keys and values, so that a save need not read the file.
        self._saved = Memory(_REMEMBERED_BYTES)

    @property
    def is_open(self) -> bool:
        """Whether the folder is this daemon's. Where it is not, calls are refused with OSError."""
        return self._files.is_open

    @property
    def refusal(self) -> str:
        """Why the folder is not this daemon's; empty: it is."""
        return self._files.refusal

    @property
    def catalog(self) -> Catalog:
        """What there is."""
        return self._files.catalog

    @property
    def journal(self) -> Journal:
        """Of the answers that are given. Raises OSError as long as another daemon has the folder."""
        return self._files.journal

    @property
    def beginnings(self) -> Beginnings:
        """What the sessions begin with."""
        return self._files.beginnings

    @property
    def transit(self) -> Path:
        """See SessionFiles.transit."""
        return self._files.transit

    @property
    def kept(self) -> Kept:
        """See Housekeeping.kept."""
        return self._keeping.kept

    def open(self) -> bool:
        """Take the folder, if the daemon that had it has left it."""
        return self._files.open()

    def open_elsewhere(self) -> bool:
        """Keep what comes in a temporary folder. False: there is no place for one."""
        return self._files.open_elsewhere()

    def close(self) -> None:
        """Give the folder back."""
        self._files.close()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock.now()

    def file_of(self, key: SessionKey) -> str:
        """The name of a session's file, which catalog and journal know it by. Raises OSError."""
        return self._files.path_of(key).name

    def entry(self, key: SessionKey) -> Entry | None:
        """What the catalog knows of a session. Raises OSError."""
        return self.catalog.find(self.file_of(key))

    def entries(self, tenant: str) -> tuple[Entry, ...]:
        """What the catalog knows of a tenant's sessions, the last used first. Raises OSError."""
        found = self.catalog.of(tenant)
        if not self._files.is_catalog_doubted:
            return found
        # A full disk may have kept it from learning what is gone.
        return tuple(entry for entry in found if self._files.path_of(entry.key).exists())

    def begin(self, key: SessionKey, model: ModelMark) -> Conversation:
        """A session before its first turn."""
        now = self._clock.now()
        return Conversation(key, model, now, now)

    def is_expired(self, conversation: Conversation) -> bool:
        """Whether nobody has used it for too long."""
        return conversation.last_used < self._keeping.oldest

    def load(self, key: SessionKey, model: ModelMark | None) -> Found | CacheMiss:
        """What is kept of a session, with keys and values only if they are `model`'s; or why there is nothing.

        Raises:
            OSError: the disk does not give it.
            SessionError: the file is another session's, or a newer program's.
        """
        path = self._files.path_of(key)
        found = session_log.read(self._files.disk, path, key, model, self._files.seal)
        if found is None:
            return CacheMiss.DAMAGED if path.exists() else self._why_gone(path)
        return CacheMiss.EXPIRED if self.is_expired(found.conversation) else found

    def save(self, conversation: Conversation) -> None:
        """Make the file hold this conversation: append what is new, or write it anew.

        Of one that was taken back to its beginning nothing stays on disk, as if it had been deleted.

        Saved twice it is the same as once.

        Raises:
            OSError: the disk is full or broken. What was kept before is as it was.
            SessionError: the file is another session's, or a newer program's.
        """
        path = self._files.path_of(conversation.key)
        before: Found | None = self._saved.find(conversation.key)
        self._saved.forget(conversation.key)
        is_sure = before is not None and path.exists() and self._files.disk.size(path) == before.end
        if not is_sure:
            before = self._before(conversation.key, path)
        if conversation.is_empty:
            self._files.remove_aside(path)
        if before is None or self.is_expired(before.conversation) or _is_to_be_written_anew(before, conversation):
            added, written = whole(conversation, RecordWriter(self._files.seal, path.stem)), 0
            end = self._files.disk.write(path, added.pieces)
        else:
            writer = RecordWriter(self._files.seal, path.stem, before.mark)
            added, written = addition(before.conversation, conversation, writer), before.kv_tokens_written
            # What was read may be a write whose sync failed: it is synced again, if there is nothing to add.
            end = (
                before.end if is_sure and not added.pieces else self._files.disk.append(path, before.end, added.pieces)
            )
        saved = Found(added.told, end, False, written + added.kv_tokens, added.mark)
        self._saved.put(conversation.key, saved, (), added.told.text_bytes)
        entry = entry_of(path.name, conversation, end, added.told.kv_tokens)
        self._note(entry, beginnings_of(conversation))

    def delete(self, key: SessionKey) -> bool:
        """Remove a session, and its last answer. False: there is none. Raises OSError."""
        self._saved.forget(key)
        path = self._files.path_of(key)
        there = path.exists()
        self._files.remove(path, "", self._clock.now())
        # Its name as well.
        with contextlib.suppress(OSError):
            self.catalog.wipe()
        return there

    def tidy(self, is_in_use: Callable[[SessionKey], bool] = lambda _: False) -> int:
        """See Housekeeping.tidy."""
        return self._keeping.tidy(is_in_use)

    def reconcile(self) -> int:
        """See Housekeeping.reconcile."""
        return self._keeping.reconcile()

    def _before(self, key: SessionKey, path: Path) -> Found | None:
        """What a file holds that can be appended to; `None`: it is to be written anew, and a damaged one is kept."""
        found = session_log.read(self._files.disk, path, key, None, self._files.seal)
        if found is None:
            is_lost = path.exists()
        else:
            is_lost = found.damaged and session_log.holds_more(self._files.disk, path, found.end)
        if is_lost:
            self._keeping.keep_aside(path)
            return None
        return found

    def _why_gone(self, path: Path) -> CacheMiss:
        # The catalog's own troubles are no reason to refuse an answer.
        with contextlib.suppress(OSError, ValueError):
            return CacheMiss(self.catalog.why_gone(path.name))
        return CacheMiss.NEW_SESSION

    def _note(self, entry: Entry, beginnings: Mapping[int, bytes]) -> None:
        """Tell the catalog of what is on disk already. If it refuses, `reconcile` does it later."""
        try:
            self.catalog.put(entry, beginnings)
        except OSError as error:
            self._keeping.doubt()
            log.warning("%s", error)
        self.beginnings.note(beginnings)


def _is_to_be_written_anew(before: Found, conversation: Conversation) -> bool:
    """Whether a file that could be appended to is better replaced."""
    told = before.conversation
    is_other = (told.created, told.is_foreign) != (conversation.created, conversation.is_foreign)
    is_taken_back = conversation.is_empty and not told.is_empty
    # One whose keys and values were let go of would be written without those that the file has.
    is_whole = all(block.data for block in conversation.blocks)
    return is_other or is_taken_back or (before.is_wasteful and is_whole)
