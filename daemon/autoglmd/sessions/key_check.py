"""Whether a folder's conversations were written with the key that is there now.

With another key, or without, nothing in them could be read: each would count as damaged, be written anew with the next
turn, or be removed. So this is asked before anything in the folder is touched, of a small file that opens with the key
alone, and where that was lost, of the conversations themselves.
"""

import contextlib
import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from autoglmd.errors.base import ConfigError, HostError
from autoglmd.errors.session import SessionError
from autoglmd.host.disk import Disk
from autoglmd.sessions.contents import KEY_CHECK, remove_all_else, session_files
from autoglmd.sessions.last_turns import save_last_turns
from autoglmd.sessions.record import is_sealed, records
from autoglmd.sessions.seal import Plain, Seal

log = logging.getLogger(__name__)

CHANGING = b"the key is being changed"
_CONTEXT = b"key check"
_TEXT = b"autoglmd"
_MOST_BYTES = 4096
# So many conversations are asked where the small file does not tell.
_ASKED = 16


def check_key(folder: Path, seal: Seal, disk: Disk) -> None:
    """Refuse a seal that is not the folder's. Nothing is touched.

    Raises:
        ConfigError: it is not.
        HostError: the disk does not tell.
    """
    with _told_by(folder):
        _check(folder, seal, disk)


def take_key(folder: Path, seal: Seal, disk: Disk) -> None:
    """As `check_key`; and a folder that lacks its key check is given one.

    Raises:
        ConfigError: it is not. Nothing was touched, but that a turn which only the journal had has a file now.
        HostError: the disk does not tell, or takes nothing.
    """
    with _told_by(folder):
        _check(folder, seal, disk)
        if not seal.hides or _fits(_key_check(folder, disk), seal):
            return
        if next(session_files(folder), None) is None:
            # A daemon that was killed may have told what only its journal has, with this key or in the clear. Then the
            # folder is not empty after all.
            for each in (seal, Plain()):
                save_last_turns(folder, each, disk)
            _check(folder, seal, disk)
            _begin(folder, seal, disk)
        else:
            log.warning("%s is broken or lost and is made again: a conversation opens with the key", folder / KEY_CHECK)
            mark_key(folder, seal, disk)


@contextlib.contextmanager
def _told_by(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"{folder}: whether its conversations are encrypted cannot be read: {error}.") from error


def _check(folder: Path, seal: Seal, disk: Disk) -> None:
    check = _key_check(folder, disk)
    if check == CHANGING:
        raise ConfigError(f"{folder}: a change of its key was broken off. Run `autoglmd change-session-key` again.")
    if seal.hides:
        _check_sealed(folder, seal, disk, check)
    elif check is not None or any(_is_sealed(disk, path) for path in islice(session_files(folder), _ASKED)):
        raise ConfigError(
            f"{folder} holds encrypted conversations, and no key is configured. Set sessions.key_file to their "
            "key, or decrypt them with `autoglmd change-session-key`."
        )


def write_key_check(folder: Path, content: bytes, disk: Disk) -> None:
    """Say in a folder which key is its own, or that it is being changed. Raises OSError."""
    disk.write(folder / KEY_CHECK, (content,))


def mark_key(folder: Path, seal: Seal, disk: Disk) -> None:
    """Say in a folder which key is its own. Raises OSError."""
    if seal.hides:
        write_key_check(folder, seal.seal(_TEXT, _CONTEXT), disk)
    else:
        disk.remove(folder / KEY_CHECK)


def opens(disk: Disk, path: Path, seal: Seal) -> bool:
    """Whether the first record of a conversation was written with this seal. Raises OSError."""
    with disk.reading(path) as file, contextlib.suppress(SessionError):
        return next(records(file, seal), None) is not None
    return False


def _check_sealed(folder: Path, seal: Seal, disk: Disk, check: bytes | None) -> None:
    if _fits(check, seal):
        return
    some = tuple(islice(session_files(folder), _ASKED))
    if any(opens(disk, path, seal) for path in some):
        return
    if some and check is None and not any(_is_sealed(disk, path) for path in some):
        raise ConfigError(
            f"{folder} holds conversations that are not encrypted, and a key is configured. Encrypt them with "
            "`autoglmd change-session-key`, or remove the folder."
        )
    if some or check is not None:
        raise ConfigError(
            f"{folder} was encrypted with another key than the one that is configured. Configure that one, change it "
            "with `autoglmd change-session-key`, or remove the folder and all conversations with it."
        )


def _fits(check: bytes | None, seal: Seal) -> bool:
    return check is not None and seal.open(check, _CONTEXT) == _TEXT


def _begin(folder: Path, seal: Seal, disk: Disk) -> None:
    try:
        # Of conversations that there no longer are, and in the clear.
        remove_all_else(folder)
        mark_key(folder, seal, disk)
    except OSError as error:
        # A disk that takes nothing now may later; then a conversation tells the key as well.
        log.warning("%s cannot be written: %s", folder / KEY_CHECK, error)


def _key_check(folder: Path, disk: Disk) -> bytes | None:
    try:
        with disk.reading(folder / KEY_CHECK) as file:
            return file.read(0, _MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_sealed(disk: Disk, path: Path) -> bool:
    with disk.reading(path) as file:
        return is_sealed(file)
