"""Writes a folder's conversations with another key, while no daemon has it.

File by file: the new one is durable before the old one goes, and the folder says that its key is being changed, so that
no daemon starts on it. Broken off at any moment, it goes on when it is called again: what the new key opens is done.
"""

import logging
import os
import pwd
from pathlib import Path

from autoglmd.errors.base import ConfigError, HostError
from autoglmd.host.disk import Disk
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.contents import KEY_CHECK, path_in, remove_all_else, session_files
from autoglmd.sessions.folder import SessionFolder
from autoglmd.sessions.key_check import CHANGING, check_key, mark_key, opens, take_key, write_key_check
from autoglmd.sessions.last_turns import save_last_turns
from autoglmd.sessions.record import RecordWriter, read_body, records
from autoglmd.sessions.seal import Seal

log = logging.getLogger(__name__)


def change_key(folder: Path, before: Seal, after: Seal, disk: Disk) -> int:
    """Write all conversations of a folder anew. Returns how many were.

    Args:
        folder: where they lie.
        before: with which they were written.
        after: with which they are to be written.
        disk: where the folder lies.

    Raises:
        ConfigError: there is no such folder, or it is another user's; `before` is not theirs, or some open with
            neither. None was written.
        HostError: a daemon has the folder.
        OSError: the disk refuses. Called again, it goes on.
    """
    _check_folder(folder)
    taken = SessionFolder(folder)
    if not taken.take():
        raise HostError(f"{folder}: a daemon keeps its conversations there. Stop it first.")
    try:
        if not _is_changing(folder):
            # First: a folder with nothing but a journal fits any key, and what was told is nowhere else.
            _save_last_turns(folder, before, disk)
            if _fits(folder, after, disk):
                return 0
            take_key(folder, before, disk)
        return _change(folder, before, after, disk)
    finally:
        taken.leave()


def _change(folder: Path, before: Seal, after: Seal, disk: Disk) -> int:
    to_do = _closed_to(after, folder, disk)
    # Before anything is written: where a change that was broken off goes on with a wrong key, there would be three.
    closed = [path for path in to_do if not opens(disk, path, before)]
    if closed:
        raise ConfigError(
            f"{len(closed)} conversations open with neither key, {closed[0]} is the first. Nothing was written. Name "
            "the right keys, or remove what is broken, and run this again."
        )
    write_key_check(folder, CHANGING, disk)
    remove_all_else(folder)
    for path in to_do:
        _write_anew(folder, path, before, after, disk)
    mark_key(folder, after, disk)
    return len(to_do)


def _save_last_turns(folder: Path, before: Seal, disk: Disk) -> None:
    """The journal goes, and a daemon that was killed may have told what only that has."""
    try:
        check_key(folder, before, disk)
    except ConfigError:
        return
    save_last_turns(folder, before, disk)


def _closed_to(seal: Seal, folder: Path, disk: Disk) -> list[Path]:
    return [path for path in sorted(session_files(folder)) if not opens(disk, path, seal)]


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder. Name the daemon's with --state-dir or --config.")
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        # What is written here would be ours, and not the daemon's to read.
        name = _name_of(owner)
        raise ConfigError(f"{folder} belongs to user {name}. Run this as that user, as with `sudo -u {name}`.")


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"


def _write_anew(folder: Path, path: Path, before: Seal, after: Seal, disk: Disk) -> None:
    """Record by record, those of kinds that we do not know as well. Damaged bodies are left out."""
    with disk.reading(path) as file:
        known = tuple(records(file, before))
        if known[-1].end < file.size:
            log.warning("a conversation is damaged: what lies behind is left out", extra={"path": str(path)})
        key = SessionKey(str(known[0].meta["tenant"]), str(known[0].meta["session"]))
        name = after.name(key)
        writer = RecordWriter(after, name)
        for record in known:
            body = read_body(file, record, before)
            if body is None:
                log.warning("keys and values of a conversation are damaged and left out", extra={"path": str(path)})
            else:
                writer.add(record.kind, record.meta, body)
    target = path_in(folder, name)
    disk.write(target, writer.pieces)
    if target != path:
        disk.remove(path)


def _fits(folder: Path, seal: Seal, disk: Disk) -> bool:
    try:
        take_key(folder, seal, disk)
    except ConfigError:
        return False
    return True


def _is_changing(folder: Path) -> bool:
    try:
        return (folder / KEY_CHECK).read_bytes() == CHANGING
    except FileNotFoundError:
        return False
