"""Where the socket and the state go when nobody said: the system's folders, else the user's own.

As in the XDG Base Directory Specification (https://specifications.freedesktop.org/basedir-spec/latest/), where a
relative path counts as none, and so does a runtime folder that is not its user's alone: who can write there could put a
socket of his own in the place of ours. The user's socket is where clients look after the system's.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autoglmd.config.rooms import DEFAULT_SOCKET, DEFAULT_STATE_DIR


@dataclass(frozen=True, slots=True)
class Places:
    """The Unix socket's path, and the folder of what outlives the daemon."""

    socket: Path = DEFAULT_SOCKET
    state_dir: Path = DEFAULT_STATE_DIR


def usable_places(environ: Mapping[str, str], system: Places | None = None) -> Places:
    """Each of the system's places that this user can write to, and the user's own instead of each other.

    Where neither can be had it is the system's, so that the error names what the documentation does.
    """
    system = system or Places()
    return Places(_socket(environ, system.socket), _state_dir(environ, system.state_dir))


def _socket(environ: Mapping[str, str], system: Path) -> Path:
    runtime = Path(environ.get("XDG_RUNTIME_DIR", ""))
    own = (runtime / "autoglmd" / "autoglmd.sock",) if _is_ours_alone(runtime) else ()
    places = (system, *own)
    # The claim on a socket makes its own folder at most.
    return next((place for place in places if _can_be_had(place.parent, place.parent.parent)), system)


def _state_dir(environ: Mapping[str, str], system: Path) -> Path:
    parents = (Path(environ.get("XDG_STATE_HOME", "")), Path(environ.get("HOME", ""), ".local", "state"))
    own = next((parent / "autoglmd" for parent in parents if parent.is_absolute()), system)
    return next((place for place in (system, own) if _can_be_had(place, *place.parents)), system)


def _is_ours_alone(folder: Path) -> bool:
    try:
        facts = folder.lstat()
    except OSError:
        return False
    mine = facts.st_uid == os.geteuid() and not facts.st_mode & 0o077
    return folder.is_absolute() and stat.S_ISDIR(facts.st_mode) and mine


def _can_be_had(*folders: Path) -> bool:
    """Whether the first of them that is there is a folder that we may make files in."""
    # os.path, which says no of what we may not look at; Path.exists raises.
    there = next((folder for folder in folders if os.path.lexists(folder)), None)
    return there is not None and os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)  # noqa: PTH112 - see above
