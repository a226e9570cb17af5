"""Where sessions lie: the folder, once it is this daemon's, with the files in it, their catalog, and the journal."""

import logging
from pathlib import Path

from autoglmd.errors.base import ConfigError, HostError
from autoglmd.host.disk import Disk
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.beginnings import Beginnings
from autoglmd.sessions.catalog import Catalog
from autoglmd.sessions.contents import CATALOG, JOURNAL, path_in
from autoglmd.sessions.database import DiskFullError
from autoglmd.sessions.folder import SessionFolder
from autoglmd.sessions.journal import Journal
from autoglmd.sessions.key_check import take_key
from autoglmd.sessions.quarantine import UNREADABLE
from autoglmd.sessions.seal import Seal

log = logging.getLogger(__name__)


class SessionFiles:
    """One folder, and later perhaps another in its place.

    Where another daemon has it, or it opens with another key, `journal` and `path_of` are refused with OSError, and
    with them all that is asked of a session by its name.

    Attributes:
        catalog: of the sessions.
        beginnings: of their prompts.
        is_catalog_doubted: whether the catalog did not take something, so that it must be compared with the files.
    """

    def __init__(self, folder: Path, disk: Disk, seal: Seal) -> None:
        """Take the folder, unless another daemon has it.

        One that cannot be made or written is no error here: each call says so, and the daemon serves.

        Raises:
            ConfigError: the seal is not the folder's. Nothing was touched.
        """
        self.disk = disk
        self.seal = seal
        self.is_catalog_doubted = False
        self._move_to(SessionFolder(folder))
        self.beginnings = Beginnings(lambda: (self.folder, self.catalog), disk, seal)
        try:
            self._take()
        except BaseException:
            self.close()
            raise

    @property
    def folder(self) -> Path:
        """Where everything lies now."""
        return self._folder.path

    @property
    def is_open(self) -> bool:
        """Whether the folder is this daemon's, and not refused."""
        return not self.refusal

    @property
    def refusal(self) -> str:
        """Why the folder is not this daemon's; empty: it is."""
        return self._folder.refusal

    @property
    def journal(self) -> Journal:
        """Of the answers that are given. Raises OSError."""
        self._check_open()
        return self._journal

    @property
    def transit(self) -> Path:
        """The folder of files that come and go; what a crash leaves there goes with the next start."""
        return self.folder / "transit"

    def open(self) -> bool:
        """Take the folder, if the daemon that had it has left it, and has left it with our key."""
        try:
            return self._take()
        except ConfigError as error:
            self._folder.give_up(error.message)
            return False

    def open_elsewhere(self) -> bool:
        """Keep what comes in a temporary folder. False: there is no place for one."""
        elsewhere = self._folder.elsewhere()
        if elsewhere is not None:
            # Whoever asked meanwhile may have opened what is another daemon's.
            self.catalog.close()
            self._journal.close()
            self._move_to(elsewhere)
        return elsewhere is not None

    def close(self) -> None:
        """Give the folder back."""
        self.catalog.close()
        self._journal.close()
        self._folder.leave()

    def path_of(self, key: SessionKey) -> Path:
        """A session's file, whether or not there is one. Raises OSError."""
        self._check_open()
        return path_in(self.folder, self.seal.name(key))

    def remove(self, path: Path, why: str, at: float) -> None:
        """Remove a session, and its last answer. Raises OSError: it is still there, or its removal may not last."""
        # What may refuse first: then nothing was touched.
        self.forget_answer(path)
        self.remove_file(path, why, at)

    def forget_answer(self, path: Path) -> None:
        """Have the last answer of a session forgotten that is about to be removed.

        A full disk takes not even that before something is gone: then it is the session's file.

        Raises:
            OSError: it is still there.
        """
        try:
            self._journal.forget(path.name)
        except DiskFullError:
            self.disk.remove(path)
            self._journal.forget(path.name)

    def remove_file(self, path: Path, why: str, at: float) -> None:
        """Remove a session whose last answer is gone already. Raises OSError as `remove` does."""
        self.remove_aside(path)
        # The file before its entry: the catalog may say more than there is, and never less.
        self.disk.remove(path)
        try:
            self.catalog.forget(path.name, why, at)
        except OSError as error:
            log.warning("%s", error)
            self.is_catalog_doubted = True

    def remove_aside(self, path: Path) -> None:
        """Remove what was set aside of a session, if something was. Raises OSError."""
        aside = path.with_suffix(UNREADABLE)
        if aside.exists():
            self.disk.remove(aside)

    def _take(self) -> bool:
        if not self._folder.take():
            return False
        try:
            take_key(self.folder, self.seal, self.disk)
        except HostError as error:
            if self.seal.hides:
                # What another key wrote would look damaged, and be written anew. Without a key nothing is mistaken.
                self._folder.give_up(error.message)
            else:
                log.warning("%s", error.message)
        return self.is_open

    def _move_to(self, folder: SessionFolder) -> None:
        self._folder = folder
        self.catalog = Catalog(folder.path / CATALOG, self.seal)
        self._journal = Journal(folder.path / JOURNAL, self.seal)

    def _check_open(self) -> None:
        if not self.is_open:
            raise OSError(self.refusal)
