"""Where daemons of our own keep what outlives them: models prepared for this box, so that the next start is quick."""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

_MODE = 0o700


def state_folder(environ: Mapping[str, str], model: str) -> Path | None:
    """The folder for a daemon of this model, in the user's cache; `None` where that is not to be had.

    Daemons of one model share it: what they keep there is locked and carries a key. A bundle's folder gets one of its
    own, because every such model is served under the same name.
    """
    cache = _cache(environ)
    if cache is None or not _is_ours(cache):
        return None
    if "/" not in model:
        return cache
    return cache / hashlib.sha256(bytes(Path(model).resolve())).hexdigest()[:16]


def _cache(environ: Mapping[str, str]) -> Path | None:
    """As the XDG Base Directory Specification says: a relative path counts as none."""
    parents = (Path(environ.get("XDG_CACHE_HOME", "")), Path(environ.get("HOME", ""), ".cache"))
    return next((parent / "autoglmd" for parent in parents if parent.is_absolute()), None)


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder of this user's that nobody else can enter; makes it so if it can."""
    try:
        folder.mkdir(mode=_MODE, parents=True, exist_ok=True)
        # Not what a link points to: the parent may be a place where others can put one.
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return False
        folder.chmod(_MODE)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
