"""A daemon of our own, in its own process, on a private socket."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchmarks.process import ROOT, MeasurementError
from benchmarks.settings import Settings
from openglm import Client, ModelState

START_SECONDS = 600
"""Loading may include preparing the model for this host."""
STOP_SECONDS = 60


@dataclass(frozen=True)
class EngineChoice:
    """Keys of [engine] that an experiment sets; the others keep the daemon's defaults."""

    rows: int = 8
    context_tokens: int = 1024
    prefill_chunk_tokens: int = 256
    prefill_padding: float = 0.25
    prefetch_depth: int = 16


@dataclass(frozen=True)
class RunningDaemon:
    """A daemon that serves one model."""

    socket: str
    pid: int
    log: Path

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
def daemon(settings: Settings, bundle: Path, engine: EngineChoice, amx: bool = False) -> Iterator[RunningDaemon]:
    """Serve `bundle` while the block runs. Prepared models are kept in the work folder from run to run.

    Raises:
        MeasurementError: it did not start; its log's end is the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        socket = f"unix:{folder}/autoglmd.sock"
        config, log = Path(folder) / "autoglmd.toml", Path(folder) / "log"
        config.write_text(_toml(settings, bundle, engine, folder, amx), encoding="utf-8")
        command = [settings.python, "-m", "autoglmd", "serve", "--config", str(config)]
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        try:
            _wait_until_ready(socket, process, log)
            yield RunningDaemon(socket, process.pid, log)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _toml(settings: Settings, bundle: Path, engine: EngineChoice, folder: str, amx: bool) -> str:
    socket = f"{folder}/autoglmd.sock"
    # Each way has a packing of its own.
    state = settings.state / "amx" if amx else settings.state
    strings = {"socket": socket, "bundle": str(bundle), "state": str(state.resolve()), "name": bundle.name}
    quoted = {name: json.dumps(value) for name, value in strings.items()}
    return f"""\
state_dir = {quoted["state"]}
standard_models = false
amx = {json.dumps(amx)}
default_model = {quoted["name"]}
[server]
socket = {quoted["socket"]}
[engine]
rows = {engine.rows}
context_tokens = {engine.context_tokens}
prefill_chunk_tokens = {engine.prefill_chunk_tokens}
prefill_padding = {engine.prefill_padding}
prefetch_depth = {engine.prefetch_depth}
threads = {settings.threads}
[models.{quoted["name"]}]
path = {quoted["bundle"]}
"""


def _wait_until_ready(socket: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Ask until the model is ready; the client waits between tries while the daemon is not there."""
    from openglm import OpenGLMError

    waited = 0.0
    while waited < START_SECONDS:
        try:
            with Client(socket) as client:
                if client.model().state is ModelState.READY:
                    return
        except OpenGLMError:
            pass
        if process.poll() is not None:
            raise MeasurementError(f"the daemon ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.25)
        waited += 0.25
    raise MeasurementError(f"the daemon was not ready after {START_SECONDS} s:\n{log.read_text()[-2000:]}")


def _kibibytes(text: str, name: str) -> int:
    line = next(line for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
