"""The daemon in this process: how it starts and stops, and what it promises systemd meanwhile."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoglmd import app
from autoglmd.app import LAST_WORDS_SECONDS, LOADING_SECONDS, Daemon, Surroundings
from autoglmd.config.rooms import Config, EngineConfig, ModelConfig, ServerConfig
from autoglmd.errors.model import ModelMissingError
from autoglmd.host.clock import SystemClock
from autoglmd.host.systemd import Notifier
from autoglmd.messages.status import DaemonState
from autoglmd.pipeline.model_preparer import PREPARE_SECONDS
from autoglmd.pipeline.served import ServedModel
from tests.support.fixture_models import FOLDER

LIMIT_SECONDS = 30.0


class NotedNotifier(Notifier):
    """Notes what systemd would be told; knows when we began to load, and when we were ready."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.is_loading = asyncio.Event()
        self.is_ready = asyncio.Event()

    def _send(self, state: str) -> None:
        self.told.append(state)
        self.is_loading.set()
        if state == "READY=1":
            self.is_ready.set()


def configuration(folder: Path, *names: str) -> Config:
    """Tiny models, loaded as shipped; the first is the default."""
    models = {name: ModelConfig(str(FOLDER / name), "cpu", False, EngineConfig(rows=2)) for name in names}
    return Config(
        state_dir=folder / "state",
        default_model=names[0],
        server=ServerConfig(socket=folder / "s", drain_seconds=1.5),
        models=models,
    )


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Holds the loading of models until it is set."""
    gate, load_model = threading.Event(), app.load_model

    def load_later(*arguments: object) -> ServedModel:
        gate.wait(LIMIT_SECONDS)
        return load_model(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(app, "load_model", load_later)
    yield gate
    gate.set()


async def test_a_daemon_that_is_asked_to_stop_while_it_loads_stops(tmp_path: Path, gate: threading.Event) -> None:
    """It waits for no graph; the socket is given back."""
    notifier = NotedNotifier()
    daemon = Daemon(configuration(tmp_path, "tiny-int8"), Surroundings(SystemClock(), notifier))
    running = asyncio.create_task(daemon.run())
    async with asyncio.timeout(LIMIT_SECONDS):
        await notifier.is_loading.wait()
        assert daemon._gateway.status().state is DaemonState.STARTING
        daemon.stop()
        await running
    assert not (tmp_path / "s").exists()
    assert "READY=1" not in notifier.told
    assert notifier.told[-1].startswith("STOPPING=1")


async def test_each_model_gets_the_time_that_preparing_may_take(tmp_path: Path) -> None:
    """And stopping is announced with the sum of all its waits, however many models there are."""
    notifier = NotedNotifier()
    names = ("tiny-int8", "tiny-fp32", "tiny-per-token")
    daemon = Daemon(configuration(tmp_path, *names), Surroundings(SystemClock(), notifier))
    running = asyncio.create_task(daemon.run())
    async with asyncio.timeout(LIMIT_SECONDS):
        await notifier.is_ready.wait()
        assert daemon._gateway.status().state is DaemonState.SERVING
        daemon.stop()
        await running
    assert daemon._gateway.status().state is DaemonState.DRAINING
    extensions = [state for state in notifier.told if state == f"EXTEND_TIMEOUT_USEC={int(LOADING_SECONDS * 1e6)}"]
    assert len(extensions) == len(names)
    assert LOADING_SECONDS > PREPARE_SECONDS
    stopping = next(state for state in notifier.told if state.startswith("STOPPING=1"))
    promised = int(stopping.rpartition("=")[2]) / 1e6
    assert promised == pytest.approx(1.0 + 0.25 + 1.5 + 3 * LAST_WORDS_SECONDS)


async def test_models_are_stopped_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the limit of one is the limit of all: each waits here until every other is being stopped."""
    together = threading.Barrier(2)
    stop = ServedModel.stop

    def stop_together(served: ServedModel, timeout_seconds: float) -> bool:
        together.wait(LIMIT_SECONDS)
        return stop(served, timeout_seconds)

    monkeypatch.setattr(ServedModel, "stop", stop_together)
    notifier = NotedNotifier()
    daemon = Daemon(configuration(tmp_path, "tiny-int8", "tiny-fp32"), Surroundings(SystemClock(), notifier))
    running = asyncio.create_task(daemon.run())
    async with asyncio.timeout(LIMIT_SECONDS):
        await notifier.is_ready.wait()
        daemon.stop()
        await running
    assert not together.broken


async def test_a_daemon_without_its_default_model_does_not_start(tmp_path: Path) -> None:
    """The error comes through, and the socket is given back."""
    config = configuration(tmp_path, "no-such-model")
    with pytest.raises(ModelMissingError):
        await Daemon(config, Surroundings(SystemClock(), NotedNotifier())).run()
    assert not (tmp_path / "s").exists()
