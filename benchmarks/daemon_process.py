"""A daemon of our own, in its own process, on a private socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket as sockets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchmarks.process import ROOT, MeasurementError
from benchmarks.settings import Settings
from openglm import Client

START_SECONDS = 600
"""Loading may include preparing the model for this host."""
STOP_SECONDS = 60
PATIENCE_SECONDS = 0.25
"""Between two looks at whether the daemon still runs."""


@dataclass(frozen=True)
class EngineChoice:
    """Keys of [engine] that an experiment sets; the others keep the daemon's defaults."""

    rows: int = 8
    context_tokens: int = 1024
    prefill_chunk_tokens: int = 256
    prefill_padding: float = 0.25
    prefetch_depth: int = 16
    threads: int = 0
    """0 for those of the settings."""


@dataclass(frozen=True)
class Home:
    """Where a daemon keeps its conversations, and how.

    Attributes:
        folder: its state_dir; prepared models are those of all runs.
        memory_bytes: see [sessions]. With 0 every conversation comes from disk, unless a row still holds it.
        module: what is run in place of the daemon, as it is run.
        prepare: use a prepared copy of the model.
    """

    folder: Path
    memory_bytes: int = 256 << 20
    module: str = "autoglmd"
    prepare: bool = True


@dataclass(frozen=True)
class RunningDaemon:
    """A daemon that serves one model.

    Attributes:
        started: when it was run, on the clock of `time.perf_counter`.
        ready: when it said that it serves: READY=1 of sd_notify(3), behind the health service's SERVING.
    """

    socket: str
    pid: int
    log: Path
    started: float
    ready: float

    def kv_bytes_per_token(self) -> int:
        """Return what one position of one row takes."""
        with Client(self.socket) as client:
            return int(client.model().kv_bytes_per_token)

    def facts(self) -> dict[str, str]:
        """Return what a reader needs to judge the figures; see `Engine.facts`."""
        with Client(self.socket) as client:
            model = client.model()
        graph = "prepared" if model.prepared else "plain"
        entries = (json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines())
        amx = "lent" if next(entry["amx"] for entry in entries if entry["msg"] == "serving") else "not lent"
        return {"autoglmd": metadata.version("autoglmd"), "kv": model.kv_precision, "graph": graph, "AMX": amx}

    def memory(self) -> dict[str, int]:
        """Return peak resident bytes, and now's proportional share and private bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="utf-8")
        return {
            "peak_resident": _kibibytes(status, "VmHWM") * 1024,
            "resident": _kibibytes(rollup, "Rss") * 1024,
            "proportional": _kibibytes(rollup, "Pss") * 1024,
            "anonymous": _kibibytes(rollup, "Anonymous") * 1024,
        }


@contextlib.contextmanager
def daemon(
    settings: Settings, bundle: Path, engine: EngineChoice, amx: bool = False, home: Home | None = None
) -> Iterator[RunningDaemon]:
    """Serve `bundle` while the block runs. Prepared models are kept in the work folder from run to run.

    Raises:
        MeasurementError: it did not start; its log's end is the message.
    """
    # Each way has a packing of its own.
    state = (settings.state / "amx" if amx else settings.state).resolve()
    home = home or Home(state)
    _share_prepared(state, home.folder)
    with tempfile.TemporaryDirectory() as folder, _told(Path(folder) / "notify") as notified:
        config, log = Path(folder) / "autoglmd.toml", Path(folder) / "log"
        config.write_text(_toml(settings, bundle, engine, home, (folder, amx)), encoding="utf-8")
        command = [settings.python, "-m", home.module, "serve", "--config", str(config)]
        environment = {**os.environ, "NOTIFY_SOCKET": notified.getsockname()}
        started = time.perf_counter()
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=environment)
        try:
            ready = _wait_until_ready(notified, process, log)
            yield RunningDaemon(f"unix:{folder}/autoglmd.sock", process.pid, log, started, ready)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _share_prepared(state: Path, folder: Path) -> None:
    """Let a daemon of another folder find the prepared models."""
    folder.mkdir(parents=True, exist_ok=True)
    (state / "prepared").mkdir(parents=True, exist_ok=True)
    if not (folder / "prepared").exists():
        (folder / "prepared").symlink_to((state / "prepared").resolve())


@contextlib.contextmanager
def _told(path: Path) -> Iterator[sockets.socket]:
    """A socket as a service manager has it."""
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(PATIENCE_SECONDS)
        yield channel


def _toml(settings: Settings, bundle: Path, engine: EngineChoice, home: Home, way: tuple[str, bool]) -> str:
    folder, amx = way
    socket = f"{folder}/autoglmd.sock"
    strings = {"socket": socket, "bundle": str(bundle), "state": str(home.folder.resolve()), "name": bundle.name}
    quoted = {name: json.dumps(value) for name, value in strings.items()}
    return f"""\
state_dir = {quoted["state"]}
standard_models = false
amx = {json.dumps(amx)}
default_model = {quoted["name"]}
[server]
socket = {quoted["socket"]}
[sessions]
memory_bytes = {home.memory_bytes}
[engine]
rows = {engine.rows}
context_tokens = {engine.context_tokens}
prefill_chunk_tokens = {engine.prefill_chunk_tokens}
prefill_padding = {engine.prefill_padding}
prefetch_depth = {engine.prefetch_depth}
threads = {engine.threads or settings.threads}
[models.{quoted["name"]}]
path = {quoted["bundle"]}
prepare = {json.dumps(home.prepare)}
"""


def _wait_until_ready(notified: sockets.socket, process: subprocess.Popen[bytes], log: Path) -> float:
    """Return when it said that it serves."""
    deadline = time.perf_counter() + START_SECONDS
    while time.perf_counter() < deadline:
        with contextlib.suppress(TimeoutError):
            if notified.recv(4096) == b"READY=1":
                return time.perf_counter()
        if process.poll() is not None:
            raise MeasurementError(f"the daemon ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    raise MeasurementError(f"the daemon was not ready after {START_SECONDS} s:\n{log.read_text()[-2000:]}")


def _kibibytes(text: str, name: str) -> int:
    line = next(line for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
