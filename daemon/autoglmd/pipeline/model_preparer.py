"""Makes the prepared copy of a bundle. It is made in a child process.

Preparing needs as much memory as loading the bundle unprepared, and runs a graph that nobody has tried here. In a
child, that memory is given back whole and a crash costs nothing: the bundle is then loaded as it was shipped.
"""

import contextlib
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from autoglmd.errors.availability import DrainingError
from autoglmd.host.amx import amx_is_lent
from autoglmd.model.bundle import Bundle
from autoglmd.model.prepare import find_prepared

log = logging.getLogger(__name__)

PREPARE_SECONDS = 1800.0
# -P: what lies in the folder that we were started in is not ours to run.
COMMAND = (sys.executable, "-P", "-m", "autoglmd", "prepare")


class Preparer:
    """Makes prepared copies, one after the other, until it is stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._stopped = False

    def ensure(self, bundle: Bundle, folder: Path, providers: tuple[str, ...], begun: Callable[[], None]) -> None:
        """Make the prepared copy in `folder`, if it is not there or not for this host. A failure is logged.

        `begun` is called before the work, where there is any.

        Raises:
            DrainingError: `stop` was called.
        """
        if find_prepared(bundle, folder, providers) is not None:
            return
        begun()
        log.info("preparing a model for this host", extra={"bundle": str(bundle.folder), "folder": str(folder)})
        # The child packs weights as this process would.
        amx = ["--amx"] if amx_is_lent() else []
        reason = self._run([*COMMAND, *amx, str(bundle.folder), str(folder)])
        if reason:
            log.warning("loading the bundle as shipped, which takes more memory: %s", reason)

    def stop(self) -> None:
        """From any thread: end the child that is at work, and start no other."""
        with self._lock:
            self._stopped = True
            if self._child is not None:
                self._child.terminate()

    def _run(self, command: list[str]) -> str:
        """Returns why the child failed; empty if it did not."""
        with self._start(command) as child:
            try:
                errors = child.communicate(timeout=PREPARE_SECONDS)[1].strip()[-500:]
            except subprocess.TimeoutExpired:
                child.kill()
                return f"it took more than {PREPARE_SECONDS:.0f} s"
        if self._stopped:
            raise DrainingError
        return (errors or f"the child ended with status {child.returncode}") if child.returncode else ""

    def _start(self, command: list[str]) -> "subprocess.Popen[str]":
        with self._lock:
            if self._stopped:
                raise DrainingError
            # The arguments are our own interpreter and two folders from the configuration; there is no shell.
            self._child = subprocess.Popen(  # noqa: S603 - see above
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            _offer_to_the_kernel(self._child.pid)
            return self._child


def _offer_to_the_kernel(pid: int) -> None:
    """If memory ends, this process is the one to be killed, not the daemon. Source: proc_pid_oom_score_adj(5)."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000", encoding="ascii")
