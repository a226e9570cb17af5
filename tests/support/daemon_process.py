"""`autoglmd serve` as a child process, with its log, its exit status and a channel to it in a test's hands."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import grpc
import psutil

from openglm.v1 import admin_pb2, admin_pb2_grpc, inference_pb2_grpc, models_pb2_grpc
from tests.support.fixture_models import FOLDER

LIMIT_SECONDS = 90.0
ROOT = Path(__file__).resolve().parents[2]
SERVE = ("-m", "autoglmd", "serve")
Entry = dict[str, Any]


class DaemonProcess:
    """A running daemon. Leaving the `with` block kills it, should it still be there.

    Attributes:
        socket: its Unix socket.
        log: its log so far, one entry per JSON line; lines that are no JSON are under "text".
    """

    def __init__(
        self, folder: Path, command: tuple[str, ...] = SERVE, environment: Mapping[str, str] | None = None
    ) -> None:
        self.socket = folder / "s"
        self.log: list[Entry] = []
        self._ended = False
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, *command, "--config", str(folder / "autoglmd.toml")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(LIMIT_SECONDS)
        self._reader.join(LIMIT_SECONDS)
        for pipe in (self._process.stdin, self._process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def resources(self) -> psutil.Process:
        """What it uses."""
        return psutil.Process(self._process.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def close_stdin(self) -> None:
        """End its standard input, as a parent that dies does."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def wait_exit(self) -> int:
        """Its exit status; all its log has been read then."""
        status = self._process.wait(LIMIT_SECONDS)
        self._reader.join(LIMIT_SECONDS)
        return status

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_log(self, matches: Callable[[Entry], bool]) -> Entry:
        """The first entry of the log that matches, once it is there."""
        with self._changed:
            found: list[Entry] = []

            def look() -> bool:
                found[:] = [entry for entry in self.log if matches(entry)]
                return bool(found) or self._ended

            assert self._changed.wait_for(look, LIMIT_SECONDS), f"no such entry in {self.log}"
            assert found, f"the daemon ended without it: {self.log}"
            return found[0]

    def wait_serving(self) -> Self:
        """Until it serves."""
        self.wait_log(lambda entry: entry.get("msg") == "serving")
        return self

    def said(self) -> str:
        """What it wrote that is not a log line: the last word to a shell."""
        return "\n".join(entry["text"] for entry in self.log if "text" in entry)

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._changed:
                self.log.append(_entry(line.decode("utf-8", "replace").rstrip()))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Talk:
    """A client's channel to a daemon and its stubs. Lives on the event loop."""

    def __init__(self, socket: Path) -> None:
        self.channel = grpc.aio.insecure_channel(f"unix:{socket}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.inference: Any = inference_pb2_grpc.InferenceStub(self.channel)
        self.models: Any = models_pb2_grpc.ModelsStub(self.channel)
        self.admin: Any = admin_pb2_grpc.AdminStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    async def status(self) -> admin_pb2.StatusResponse:
        """Admin.Status."""
        status: admin_pb2.StatusResponse = await self.admin.Status(admin_pb2.StatusRequest(), timeout=LIMIT_SECONDS)
        return status

    async def engine(self) -> admin_pb2.EngineStatus:
        """The counters of the first engine."""
        return (await self.status()).engines[0]

    async def wait_idle(self) -> admin_pb2.EngineStatus:
        """The first engine's counters, once nobody is left in it."""

        async def idle() -> bool:
            status = await self.status()
            busy = any(each.rows_in_use or each.waiting for each in status.engines)
            return not busy and status.open_streams == 0

        await eventually(idle)
        return await self.engine()


async def eventually(holds: Callable[[], Any], limit_seconds: float = LIMIT_SECONDS) -> None:
    """Ask another process again and again until it says yes: it has no event that we could wait for."""
    async with asyncio.timeout(limit_seconds):
        while not await holds():  # noqa: ASYNC110 - it is another process's state
            await asyncio.sleep(0.01)


def configure(folder: Path, text: str = "", models: tuple[str, ...] = ("tiny-int8",), **server: object) -> Path:
    """Write `autoglmd.toml` for tiny models, of which the first is the default. Returns the folder.

    Args:
        folder: where configuration, socket and state go.
        text: more TOML, put before all tables.
        models: names in the fixtures, or paths.
        server: keys of [server].
    """
    lines = [
        f'state_dir = "{folder}/state"',
        f'default_model = "{Path(models[0]).name}"',
        "standard_models = false",
        text,
        "[server]",
        f'socket = "{folder}/s"',
        *(f"{key} = {json.dumps(value)}" for key, value in server.items()),
    ]
    for model in models:
        lines += [f'[models.{Path(model).name}]\npath = "{FOLDER / model}"\ndevice = "cpu"\nprepare = false']
    (folder / "autoglmd.toml").write_text("\n".join(lines), "utf-8")
    return folder


@contextlib.contextmanager
def serving(folder: Path, command: tuple[str, ...] = SERVE, **environment: str) -> Iterator[DaemonProcess]:
    """A daemon that serves."""
    with DaemonProcess(folder, command, environment) as daemon:
        yield daemon.wait_serving()


def _entry(line: str) -> Entry:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    return entry if isinstance(entry, dict) else {"text": line}
