"""A request that comes while its model is being loaded: it is waited for, as long as there is hope."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.rpc import status_pb2
from typer.testing import CliRunner

import openglm
from autoglmctl.app import build_app
from openglm import AsyncClient, AutoGLM, Client, RetryPolicy
from openglm.v1 import inference_pb2, models_pb2
from tests.support.scripted_server import ScriptedServer, answer, refusal


def not_ready(state: str) -> status_pb2.Status:
    """A refusal because the model is in this state."""
    return refusal("UNAVAILABLE", "MODEL_NOT_READY", name="glm-small", state=state, reason="it is not there yet.")


FAILED = refusal("FAILED_PRECONDITION", "MODEL_NOT_READY", name="glm-small", state="failed", reason="it is broken.")
NOT_READY = not_ready("loading")


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
    """More often than any other refusal, at most a second apart; the refusal says enough, nothing else is asked."""
    server.play(*[[NOT_READY]] * 4, *[[not_ready("preparing")]] * 2, answer("ok"))
    assert client.generate("x", model="glm-small").text == "ok"
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert {type(request) for request in server.requests} == {inference_pb2.GenerateRequest}


async def test_the_asyncio_client_waits_for_it_too(server: ScriptedServer, slept: list[float]) -> None:
    """By the same rules."""

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    server.play(*[[NOT_READY]] * 6, answer("ok"))
    async with AsyncClient(server.path, retry=RetryPolicy(jitter=lambda: 0.0), sleep=sleep) as client:
        assert (await client.generate("x")).text == "ok"
    assert len(slept) == 6


def test_patience_ends(server: ScriptedServer, slept: list[float]) -> None:
    """After the policy's seconds, the refusal is raised."""
    server.play(*[[NOT_READY]] * 9)
    policy = RetryPolicy(jitter=lambda: 0.0, loading_seconds=2.0)
    with Client(server.path, retry=policy, sleep=slept.append) as client, pytest.raises(openglm.ModelNotReadyError):
        client.generate("x")
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.0]


def test_the_timeout_ends_the_patience(server: ScriptedServer) -> None:
    """A caller in a hurry is told at once that there is no room for the next wait."""
    server.play([NOT_READY])
    # When the deadline is set, when the call is made, and when a wait of 0.1 s is thought of.
    clock = iter([100.0, 100.0, 109.95])
    policy = RetryPolicy(jitter=lambda: 0.0, clock=lambda: next(clock))
    with (
        Client(server.path, retry=policy, sleep=lambda _: None) as client,
        pytest.raises(openglm.DeadlineExceededError, match="no room for another try"),
    ):
        client.generate("x", timeout=10.0)


@pytest.mark.parametrize("status", [FAILED, not_ready("failed")], ids=["this daemon", "an old one"])
def test_a_model_that_could_not_be_loaded_is_not(
    server: ScriptedServer, client: Client, slept: list[float], status: status_pb2.Status
) -> None:
    """Asking again changes nothing, so it is said at once, with the reason."""
    server.play([status])
    with pytest.raises(openglm.ModelFailedError, match="Model not ready") as caught:
        client.generate("x")
    error = caught.value
    assert (error.name, error.state) == ("glm-small", "failed")
    assert (error.reason, error.retryable, error.is_loading) == (error.details.metadata["reason"], False, False)
    assert slept == []


def test_a_daemon_that_names_no_state_is_waited_for(server: ScriptedServer, client: Client, slept: list[float]) -> None:
    """An old one; its model most likely still loads."""
    server.play(*[[refusal("UNAVAILABLE", "MODEL_NOT_READY", name="glm-small")]] * 5, answer("ok"))
    assert client.generate("x").text == "ok"
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.0]


def test_a_state_that_we_do_not_know_gets_the_usual_tries(
    server: ScriptedServer, client: Client, slept: list[float]
) -> None:
    """A newer daemon may have one."""
    server.play(*[[not_ready("dreaming")]] * 4)
    with pytest.raises(openglm.ModelNotReadyError):
        client.generate("x")
    assert slept == [0.1, 0.2, 0.4]


def test_tokenize_waits_for_it_too(server: ScriptedServer, client: Client, slept: list[float]) -> None:
    """With the patience of a generation."""
    server.answer("Tokenize", *[NOT_READY] * 6, inference_pb2.TokenizeResponse(ids=[1], pieces=["a"]))
    assert client.tokenize("a").ids == (1,)
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


async def test_so_does_that_of_the_asyncio_client(server: ScriptedServer, slept: list[float]) -> None:
    """By the same rules."""

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    server.answer("Tokenize", *[NOT_READY] * 6, inference_pb2.TokenizeResponse(ids=[1], pieces=["a"]))
    async with AsyncClient(server.path, retry=RetryPolicy(jitter=lambda: 0.0), sleep=sleep) as client:
        assert (await client.tokenize("a")).ids == (1,)
    assert len(slept) == 6


def info(state: str, provider: str = "", detail: str = "") -> models_pb2.GetModelResponse:
    """What GetModel says of the model."""
    model = models_pb2.Model(name="glm-small", state=f"MODEL_STATE_{state}", provider=provider, detail=detail)
    return models_pb2.GetModelResponse(model=model)


def test_one_can_wait_for_it_alone(server: ScriptedServer, client: Client, slept: list[float]) -> None:
    """With the patience of a generation, and without asking for one."""
    server.answer("GetModel", *[info("LOADING")] * 4, *[info("PREPARING")] * 2, info("READY", "CPU"))
    assert client.wait_until_ready("glm-small").provider == "CPU"
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert {type(request) for request in server.requests} == {models_pb2.GetModelRequest}


async def test_so_can_one_with_the_asyncio_client(server: ScriptedServer, slept: list[float]) -> None:
    """By the same rules."""

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    server.answer("GetModel", *[info("LOADING")] * 6, info("READY"))
    async with AsyncClient(server.path, retry=RetryPolicy(jitter=lambda: 0.0), sleep=sleep) as client:
        assert (await client.wait_until_ready()).name == "glm-small"
        assert len(slept) == 6
        server.forget()
        server.answer("GetModel", info("FAILED"))
        with pytest.raises(openglm.ModelFailedError):
            await client.wait_until_ready()


@pytest.mark.parametrize(("timeout", "expected"), [(None, 30.0), (1.5, 1.5), (90.0, 90.0)])
def test_that_wait_ends(
    server: ScriptedServer, client: Client, slept: list[float], timeout: float | None, expected: float
) -> None:
    """When the seconds given, or else the policy's, have passed: the last wait is a second at most."""
    server.answer("GetModel", info("LOADING"))
    with pytest.raises(openglm.ModelNotReadyError, match="'glm-small' is not ready: it is loading") as caught:
        client.wait_until_ready(timeout=timeout)
    assert caught.value.is_loading
    assert expected <= sum(slept) < expected + 1


@pytest.mark.parametrize(
    ("state", "error"), [("FAILED", openglm.ModelFailedError), ("ABSENT", openglm.ModelNotFoundError)]
)
def test_what_will_never_be_ready_ends_that_wait_at_once(
    server: ScriptedServer, client: Client, slept: list[float], state: str, error: type[openglm.OpenGLMError]
) -> None:
    """With the error that a request would get, and the daemon's reason."""
    server.answer("GetModel", info("LOADING"), info(state, detail="its weights are broken."))
    with pytest.raises(error, match=r"'glm-small' is not .*: its weights are broken"):
        client.wait_until_ready()
    assert slept == [0.1]


def test_a_timeout_that_is_none_ends_that_wait_before_it_begins(client: Client) -> None:
    """As any call's."""
    with pytest.raises(openglm.InvalidArgumentError):
        client.wait_until_ready(timeout=0.0)


def test_autoglm_waits_for_it_before_it_looks_at_the_device(
    server: ScriptedServer, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it loads, nobody knows yet where it will run; a warning would be a guess."""
    monkeypatch.setattr("openglm._running_daemon.sleep", slept.append)
    server.answer("GetModel", *[info("LOADING")] * 2, info("PREPARING"), info("READY", "CUDAExecutionProvider"))
    with AutoGLM(device="cuda", address=server.path) as glm:
        server.play(answer("ok"))
        assert glm.generate("x") == "ok"
    assert len(slept) == 2


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_autoglm_does_not_wait_where_it_would_not_look(
    server: ScriptedServer, slept: list[float], monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """Any device is as good: the daemon is asked once whether it knows the model."""
    monkeypatch.setattr("openglm._running_daemon.sleep", slept.append)
    server.answer("GetModel", info("LOADING"))
    AutoGLM(device=device, address=server.path).close()
    assert (len(server.requests), slept) == (1, [])


@pytest.mark.parametrize("start_timeout", [2.0, 60.0])
@pytest.mark.filterwarnings("error")
def test_the_patience_of_autoglm_ends(
    server: ScriptedServer, slept: list[float], monkeypatch: pytest.MonkeyPatch, start_timeout: float
) -> None:
    """When the caller said; nothing is guessed about the device, and the first request says what is the matter."""
    monkeypatch.setattr("openglm._running_daemon.sleep", slept.append)
    server.answer("GetModel", info("LOADING"))
    with AutoGLM(device="cuda", address=server.path, start_timeout=start_timeout) as glm:
        assert start_timeout <= sum(slept) < start_timeout + 1
        server.play([FAILED])
        with pytest.raises(openglm.ModelFailedError):
            glm.generate("x")


def test_what_comes_after_loading_has_its_own_tries(server: ScriptedServer, client: Client, slept: list[float]) -> None:
    """All who waited come at once, and the line may be full."""
    full = refusal("RESOURCE_EXHAUSTED", "QUEUE_FULL", retry_after=2.5)
    server.play(*[[NOT_READY]] * 5, [full], answer("ok"))
    assert client.generate("x").text == "ok"
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.0, 2.5]


def test_without_retries_there_is_no_waiting(server: ScriptedServer) -> None:
    """The first refusal is the last."""
    server.play([NOT_READY])
    with Client(server.path, retry=openglm.NO_RETRIES) as client, pytest.raises(openglm.ModelNotReadyError):
        client.generate("x")
    assert len(server.requests) == 1


@pytest.mark.parametrize(("words", "remark"), [([], "waiting for the model to load ...\n"), (["--json"], "")])
def test_the_command_says_once_what_it_waits_for(server: ScriptedServer, words: list[str], remark: str) -> None:
    """On standard error, to a person."""
    server.play([NOT_READY], [NOT_READY], answer("ok"))
    done = CliRunner().invoke(build_app(), ["--socket", str(server.path), "generate", "x", *words])
    assert (done.exit_code, done.stderr) == (0, remark)
    assert "ok" in done.stdout


def test_the_command_waits_for_tokenize_too(server: ScriptedServer) -> None:
    """And says so."""
    server.answer("Tokenize", NOT_READY, inference_pb2.TokenizeResponse(ids=[1], pieces=["a"]))
    done = CliRunner().invoke(build_app(), ["--socket", str(server.path), "tokenize", "a"])
    assert (done.exit_code, done.stderr) == (0, "waiting for the model to load ...\n")
    assert "1 tokens" in done.stdout


def test_the_command_does_not_ask_to_try_later_what_has_failed(server: ScriptedServer) -> None:
    """That is an error (1), not a refusal for now (4)."""
    server.play([FAILED], *[[NOT_READY]] * 99)
    done = CliRunner().invoke(build_app(), ["--socket", str(server.path), "generate", "x"])
    assert (done.exit_code, len(server.requests)) == (1, 1)
