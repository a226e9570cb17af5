"""Real daemons, one after the other, each a fork of a process that has imported everything: a start takes no second.

    python -m tests.support.forked_daemons serve --config FILE

For each line on standard input one is started, once the last has been killed. What it was given, and its pid, is told
on standard error.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Self

import autoglmd.app  # noqa: F401 - what takes long
from autoglmd.__main__ import main
from tests.support.daemon_process import DaemonProcess

COMMAND = ("-m", "tests.support.forked_daemons", "serve")


class ForkedDaemons(DaemonProcess):
    """The process that forks, and the daemon that it started last."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, COMMAND)
        self._daemon_pid: int | None = None

    def __exit__(self, *why: object) -> None:
        self.kill()
        super().__exit__(*why)

    def start(self) -> Self:
        """The next daemon, once it serves. The one before has been killed."""
        self.log.clear()
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        self._daemon_pid = int(self.wait_log(lambda entry: entry.get("msg") == "forked")["pid"])
        return self.wait_serving()

    def kill(self) -> None:
        """End the daemon as `kill -9` does, if there is one."""
        if self._daemon_pid is not None:
            os.kill(self._daemon_pid, signal.SIGKILL)
        self._daemon_pid = None


def fork_for_ever() -> None:
    """Start a daemon for each line."""
    while os.read(0, 1):
        child = os.fork()
        if child == 0:
            os._exit(main(sys.argv[1:]))
        os.write(2, json.dumps({"msg": "forked", "pid": child}).encode() + b"\n")
        os.waitpid(child, 0)


if __name__ == "__main__":
    fork_for_ever()
