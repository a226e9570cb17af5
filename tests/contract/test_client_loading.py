"""A request that comes while its model is being loaded: it is waited for, as long as there is hope."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import openglm
from autoglmctl.app import build_app
from openglm import AsyncClient, Client, RetryPolicy
from openglm.v1 import models_pb2
from tests.support.scripted_server import ScriptedServer, answer, refusal

NOT_READY = refusal("UNAVAILABLE", "MODEL_NOT_READY", name="glm-small")


def info(state: str) -> models_pb2.GetModelResponse:
    """What GetModel says of the model."""
    return models_pb2.GetModelResponse(model=models_pb2.Model(name="glm-small", state=f"MODEL_STATE_{state}"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    """A scripted daemon that runs during the test."""
    with ScriptedServer(tmp_path / "s") as server:
        yield server


@pytest.fixture
def slept() -> list[float]:
    """The waits between tries, in seconds, in order."""
    return []


@pytest.fixture
def client(server: ScriptedServer, slept: list[float]) -> Iterator[Client]:
    """A client of it that does not really wait."""
    with Client(server.path, retry=RetryPolicy(jitter=lambda: 0.0), sleep=slept.append) as client:
        yield client


def test_a_model_that_is_loading_is_waited_for(server: ScriptedServer, client: Client, slept: list[float]) -> None:
    """More often than any other refusal, at most a second apart."""
    server.answer("GetModel", info("LOADING"))
    server.play(*[[NOT_READY]] * 6, answer("ok"))
    assert client.generate("x", model="glm-small").text == "ok"
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert server.requests[1].name == "glm-small"


async def test_the_asyncio_client_waits_for_it_too(server: ScriptedServer, slept: list[float]) -> None:
    """By the same rules."""

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    server.answer("GetModel", info("LOADING"))
    server.play(*[[NOT_READY]] * 6, answer("ok"))
    async with AsyncClient(server.path, retry=RetryPolicy(jitter=lambda: 0.0), sleep=sleep) as client:
        assert (await client.generate("x")).text == "ok"
    assert len(slept) == 6


def test_patience_ends(server: ScriptedServer, slept: list[float]) -> None:
    """After the policy's seconds, the refusal is raised."""
    server.answer("GetModel", info("LOADING"))
    server.play(*[[NOT_READY]] * 9)
    policy = RetryPolicy(jitter=lambda: 0.0, loading_seconds=2.0)
    with Client(server.path, retry=policy, sleep=slept.append) as client, pytest.raises(openglm.ModelNotReadyError):
        client.generate("x")
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.0]


def test_the_timeout_ends_the_patience(server: ScriptedServer) -> None:
    """A caller in a hurry is told at once that there is no room for the next wait."""
    server.answer("GetModel", info("LOADING"))
    server.play([NOT_READY])
    # When the deadline is set, when the call is made, and when a wait of 0.1 s is thought of.
    clock = iter([100.0, 100.0, 109.95])
    policy = RetryPolicy(jitter=lambda: 0.0, clock=lambda: next(clock))
    with (
        Client(server.path, retry=policy, sleep=lambda _: None) as client,
        pytest.raises(openglm.DeadlineExceededError, match="no room for another try"),
    ):
        client.generate("x", timeout=10.0)


@pytest.mark.parametrize("state", ["FAILED", "ABSENT"])
def test_a_model_that_could_not_be_loaded_is_not(
    server: ScriptedServer, client: Client, slept: list[float], state: str
) -> None:
    """The usual few tries, and no more."""
    server.answer("GetModel", info(state))
    server.play(*[[NOT_READY]] * 4)
    with pytest.raises(openglm.ModelNotReadyError):
        client.generate("x")
    assert slept == [0.1, 0.2, 0.4]


def test_what_comes_after_loading_has_its_own_tries(server: ScriptedServer, client: Client, slept: list[float]) -> None:
    """All who waited come at once, and the line may be full."""
    server.answer("GetModel", info("LOADING"))
    full = refusal("RESOURCE_EXHAUSTED", "QUEUE_FULL", retry_after=2.5)
    server.play(*[[NOT_READY]] * 5, [full], answer("ok"))
    assert client.generate("x").text == "ok"
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.0, 2.5]


def test_without_retries_there_is_no_waiting(server: ScriptedServer) -> None:
    """And nobody asks why."""
    server.play([NOT_READY])
    with Client(server.path, retry=openglm.NO_RETRIES) as client, pytest.raises(openglm.ModelNotReadyError):
        client.generate("x")
    assert len(server.requests) == 1


@pytest.mark.parametrize(("words", "remark"), [([], "waiting for the model to load ...\n"), (["--json"], "")])
def test_the_command_says_once_what_it_waits_for(server: ScriptedServer, words: list[str], remark: str) -> None:
    """On standard error, to a person."""
    server.answer("GetModel", info("LOADING"))
    server.play([NOT_READY], [NOT_READY], answer("ok"))
    done = CliRunner().invoke(build_app(), ["--socket", str(server.path), "generate", "x", *words])
    assert (done.exit_code, done.stderr) == (0, remark)
    assert "ok" in done.stdout
