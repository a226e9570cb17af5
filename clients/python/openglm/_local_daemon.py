"""A daemon of our own: a child process on a private socket, gone when we are.

How it ends, whatever happens to us: `close`, the garbage collector and the interpreter's exit stop it by signal; if
this process is killed outright, the kernel closes the pipe that is the child's standard input, and
`--exit-with-parent` makes the daemon leave at its end.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from openglm._address import SOCKET_PATH_BYTES, Address
from openglm._channel import open_channel
from openglm._errors import DaemonStartError

# -P: a folder named autoglmd where the program happens to run must not be taken for ours.
COMMAND = (sys.executable, "-P", "-m", "autoglmd", "serve", "--exit-with-parent")
STOP_SECONDS = 2.0
LOG_LINES = 30
_OURS = "The daemon that this program started"
_CHECK_SECONDS = 0.25
_PAUSE_SECONDS = 0.05


class LocalDaemon:
    """A running child daemon. Owns its process and its folder (mode 0700)."""

    def __init__(
        self, settings: str, *, timeout: float, state: Path | None = None, command: Sequence[str] = COMMAND
    ) -> None:
        """Start it and wait until it serves.

        Args:
            settings: TOML that follows the private parts (state_dir, [server] and [log]) of its configuration.
            timeout: seconds until it must serve.
            state: where it keeps what outlives it; `None`: nothing does.
            command: what to run; `--config FILE` is added.

        Raises:
            DaemonStartError: it ended or did not serve in time; shows what it wrote to stderr.
        """
        folder = private_folder()
        self.address = Address(path=folder / "s")
        config = folder / "config.toml"
        config.write_text(private_config(folder, state) + settings, encoding="utf-8")
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._process = _spawn([*command, "--config", str(config)], folder)
        self._stop = weakref.finalize(self, _stop, self._process, folder, os.getpid())
        # The thread must not hold `self`: it lives as long as the child.
        threading.Thread(target=_keep_tail, args=(self._process.stderr, self._log), daemon=True).start()
        try:
            self._wait_serving(timeout)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def death(self) -> DaemonStartError | None:
        """If the child has ended, the error that says how, with the end of its log."""
        code = self._process.poll()
        return (
            None
            if code is None
            else DaemonStartError(f"The daemon that this program started {_ended(code)}.", self.log())
        )

    def log(self) -> str:
        """The last lines that it wrote to stderr."""
        return "\n".join(self._log)

    def close(self) -> None:
        """Stop the child and remove its folder. A second call does nothing."""
        self._stop()

    def _wait_serving(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        with open_channel(grpc, self.address, None) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while not _serves(health):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_PAUSE_SECONDS)
                if death := self.death():
                    raise death
                if time.monotonic() > deadline:
                    raise DaemonStartError(
                        f"The daemon that this program started did not serve within {timeout:g} s.", self.log()
                    )


def private_folder() -> Path:
    """A new folder that only this user can enter, with room for a socket's name in its path."""
    folder = Path(tempfile.mkdtemp(prefix="autoglm-"))
    if len(bytes(folder / "s")) <= SOCKET_PATH_BYTES:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="autoglm-", dir="/tmp"))


def private_config(folder: Path, state: Path | None = None) -> str:
    """The part of the configuration that keeps the daemon to ourselves."""
    return (
        f"state_dir = {toml_string(state or folder / 'state')}\n"
        f"server = {{ socket = {toml_string(folder / 's')}, socket_mode = 0o600, drain_seconds = 0 }}\n"
        'log = { level = "warning", format = "text" }\n'
    )


def toml_string(value: object) -> str:
    """A quoted TOML string; JSON's escapes are all TOML's too."""
    return json.dumps(str(value), ensure_ascii=False)


def _spawn(command: list[str], folder: Path) -> subprocess.Popen[str]:
    try:
        # Its own session: Ctrl-C in the terminal is for the program, not for its daemon.
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise DaemonStartError(f"{command[0]} cannot be run: {error.strerror}.") from error


def _keep_tail(stream: IO[str], tail: deque[str]) -> None:
    with stream, contextlib.suppress(ValueError):
        tail.extend(_lines(stream))


def _lines(stream: Iterable[str]) -> Iterable[str]:
    return (line.rstrip("\n") for line in stream)


def _serves(health: health_pb2_grpc.HealthStub) -> bool:
    try:
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=_CHECK_SECONDS, wait_for_ready=True)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _stop(process: subprocess.Popen[str], folder: Path, owner: int) -> None:
    """End the child and remove its folder; in a fork of the owner, do nothing."""
    if os.getpid() != owner:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
    shutil.rmtree(folder, ignore_errors=True)


def _ended(code: int) -> str:
    return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
