"""The folder in which conversations lie: one daemon's at a time."""

import contextlib
import fcntl
import logging
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from autoglmd.sessions.contents import LOCK

log = logging.getLogger(__name__)

_PREFIX = "autoglmd-sessions-"
_OTHERS = "another daemon keeps its conversations there, and has not left yet"


class SessionFolder:
    """A folder with a lock in it, which the kernel drops when its holder dies."""

    def __init__(self, path: Path) -> None:
        """Name it; nothing is touched."""
        self.path = path
        self.refusal = ""
        """Why it is not this daemon's; empty: it is."""
        self._told = ""
        self._descriptor: int | None = None
        self._temporary: TemporaryDirectory[str] | None = None

    def take(self) -> bool:
        """Have the folder, if no other daemon has it.

        One that cannot be made or locked is no error here: whoever writes into it is told.
        """
        if self._descriptor is None:
            self.refusal = "" if self._has_locked() else _OTHERS
        return not self.refusal

    def elsewhere(self) -> "SessionFolder | None":
        """A temporary folder instead, which goes when it is left; `None`: there is no place for one."""
        _remove_left_behind()
        try:
            temporary = TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
        except OSError:
            return None
        log.warning(
            "%s: %s. The conversations of this daemon are kept in %s, and end with it. Mend that and start it again, "
            "or choose another state_dir.",
            self.path,
            self.refusal.rstrip("."),
            temporary.name,
        )
        made = SessionFolder(Path(temporary.name))
        made._temporary = temporary
        # Its lock tells others that somebody is there.
        made.take()
        return made

    def give_up(self, why: str) -> None:
        """Treat it as another daemon's: what lies there must not be touched. The reason is logged when it changes."""
        self._let_go()
        self.refusal = why
        if why != self._told:
            self._told = why
            log.error("%s", why)

    def leave(self) -> None:
        """Give it back."""
        self._let_go()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _has_locked(self) -> bool:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self.path / LOCK, flags, 0o600)
        except OSError as error:
            log.warning("conversations cannot be kept in %s: %s", self.path, error.strerror)
            return True
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._let_go()
            return False
        except OSError as error:
            # A network's file system may know no locks.
            log.warning("%s cannot be locked against a second daemon: %s", self.path, error.strerror)
        return True

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _remove_left_behind() -> None:
    """Remove the temporary folders of this user's daemons that were killed: nobody has their locks."""
    for path in Path(gettempdir()).glob(f"{_PREFIX}*"):
        # Others may put anything there, and change it while we look.
        with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
            opened.callback(os.close, folder)
            if os.fstat(folder).st_uid != os.geteuid():
                continue
            lock = os.open(LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
            opened.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
            log.warning("%s: conversations of a daemon that was killed are removed", path)
