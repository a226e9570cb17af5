"""autoglmctl on a scripted daemon: fixtures and values that the command's tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from autoglmctl.app import build_app
from openglm.v1 import models_pb2
from tests.support.scripted_server import ScriptedServer, refusal

MODEL = models_pb2.Model(
    name="glm-small",
    version="abc",
    state=models_pb2.MODEL_STATE_READY,
    is_default=True,
    weights_bytes=12_300_000,
    precision="int8-groups",
    kv_precision="int8",
    vocab_size=4000,
    rows=8,
)
FULL = refusal("RESOURCE_EXHAUSTED", "QUEUE_FULL", retry_after=60, waiting=9, limit=8)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    """A scripted daemon that runs during the test."""
    with ScriptedServer(tmp_path / "s") as server:
        yield server


class Command:
    """autoglmctl with --socket set."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def __call__(self, *words: str, stdin: str | bytes | None = None) -> Result:
        """Run one command line."""
        return CliRunner().invoke(build_app(), ["--socket", str(self._socket), *words], input=stdin)


@pytest.fixture
def autoglmctl(server: ScriptedServer) -> Command:
    """The command, talking to the scripted daemon."""
    return Command(server.path)
