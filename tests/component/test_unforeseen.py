"""What nobody foresaw: it costs one model, not the daemon."""

import asyncio
from pathlib import Path

import pytest

from autoglmd import app
from autoglmd.app import Daemon, Surroundings
from autoglmd.config.rooms import Config, ModelConfig, ServerConfig
from autoglmd.errors.model import ModelError
from autoglmd.host.clock import SystemClock
from autoglmd.host.systemd import Notifier
from autoglmd.messages.status import ModelState
from autoglmd.pipeline.loading import LoadContext, load_model
from autoglmd.pipeline.served import ServedModel
from tests.support.fixture_models import FOLDER

LIMIT_SECONDS = 60.0


class ReadyNotifier(Notifier):
    """Knows when the daemon is ready."""

    def __init__(self) -> None:
        super().__init__()
        self.is_ready = asyncio.Event()

    def ready(self) -> None:
        """See Notifier.ready."""
        self.is_ready.set()


@pytest.fixture(autouse=True)
def defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading "tiny-fp32" raises what no bundle should make it raise."""

    def load_or_break(name: str, config: ModelConfig, context: LoadContext) -> ServedModel:
        if name == "tiny-fp32":
            raise IndexError("a defect of ours")
        return load_model(name, config, context)

    monkeypatch.setattr(app, "load_model", load_or_break)


def configuration(folder: Path, default: str) -> Config:
    """Two models, of which one brings out the defect."""
    models = {name: ModelConfig(str(FOLDER / name), "cpu", prepare=False) for name in ("tiny-fp32", "tiny-int8")}
    return Config(folder / "state", default, False, ServerConfig(socket=folder / "s"), models=models)


async def test_a_model_that_breaks_the_loading_is_marked_and_the_others_are_served(tmp_path: Path) -> None:
    """The operator reads what happened beside the model's name; the daemon is ready."""
    notifier = ReadyNotifier()
    daemon = Daemon(configuration(tmp_path, "tiny-int8"), Surroundings(SystemClock(), notifier))
    running = asyncio.create_task(daemon.run())
    async with asyncio.timeout(LIMIT_SECONDS):
        await notifier.is_ready.wait()
        infos = {info.name: info for info in daemon._gateway.models()}
        daemon.stop()
        await running
    assert infos["tiny-int8"].state is ModelState.READY
    assert infos["tiny-fp32"].state is ModelState.FAILED
    assert "a defect of ours" in infos["tiny-fp32"].detail


async def test_a_default_model_that_breaks_the_loading_ends_the_start_with_an_error_of_the_tree(tmp_path: Path) -> None:
    """The shell reads a sentence, not a traceback."""
    with pytest.raises(ModelError, match="loading broke down"):
        await Daemon(configuration(tmp_path, "tiny-fp32"), Surroundings(SystemClock(), Notifier())).run()
    assert not (tmp_path / "s").exists()
