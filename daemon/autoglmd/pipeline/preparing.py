"""Finds or makes the prepared copy of a bundle. It is made in a child process.

Preparing needs as much memory as loading the bundle unprepared, and runs a graph that nobody has tried here. In a
child, that memory is given back whole and a crash costs nothing: the bundle is then loaded as it was shipped.
"""

import logging
import subprocess
import sys
from pathlib import Path

from autoglmd.model.bundle import Bundle
from autoglmd.model.prepare import PreparedModel, find_prepared

log = logging.getLogger(__name__)

PREPARE_SECONDS = 1800.0


def ensure_prepared(bundle: Bundle, folder: Path, providers: tuple[str, ...]) -> PreparedModel | None:
    """The prepared copy in `folder`, made now if it is not there or not for this host; None if it cannot be made."""
    found = find_prepared(bundle, folder, providers)
    if found is not None:
        return found
    command = [sys.executable, "-m", "autoglmd", "prepare", str(bundle.folder), str(folder)]
    log.info("preparing a model for this host", extra={"bundle": str(bundle.folder), "folder": str(folder)})
    try:
        # The arguments are our own interpreter and two folders from the configuration; there is no shell.
        done = subprocess.run(command, capture_output=True, text=True, timeout=PREPARE_SECONDS, check=False)  # noqa: S603
        reason = done.stderr.strip()[-500:] or f"the child ended with status {done.returncode}"
    except subprocess.TimeoutExpired:
        reason = f"it took more than {PREPARE_SECONDS:.0f} s"
    found = find_prepared(bundle, folder, providers)
    if found is None:
        log.warning("loading the bundle as shipped, which takes more memory: %s", reason)
    return found
