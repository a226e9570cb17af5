"""The blocking client's questions with one answer, against a real server on a Unix socket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import openglm
from openglm import Client, DaemonState, ModelState, RetryPolicy
from openglm.v1 import admin_pb2, inference_pb2, models_pb2
from tests.support.scripted_server import ScriptedServer, refusal

MODEL = models_pb2.Model(
    name="glm-small", version="abc", state=models_pb2.MODEL_STATE_READY, is_default=True, weights_bytes=9, rows=8
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    """A scripted daemon that runs during the test."""
    with ScriptedServer(tmp_path / "s") as server:
        yield server


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    """A client of it that does not really wait."""
    with Client(server.path, retry=RetryPolicy(), sleep=lambda _: None) as client:
        yield client


def test_status_mirrors_the_daemons_answer(server: ScriptedServer, client: Client) -> None:
    """Every field of the status arrives, with its engines and models as values."""
    engine = admin_pb2.EngineStatus(model="glm-small", rows=8, rows_in_use=3, decode_seconds=1.5)
    server.answer(
        "Status",
        admin_pb2.StatusResponse(
            version="0.1.0",
            state=admin_pb2.DAEMON_STATE_SERVING,
            pid=42,
            available_providers=["CPUExecutionProvider"],
            models=[MODEL],
            engines=[engine],
            open_streams=3,
            refused=1,
        ),
    )
    status = client.status()
    assert (status.version, status.state, status.pid) == ("0.1.0", DaemonState.SERVING, 42)
    assert status.available_providers == ("CPUExecutionProvider",)
    assert (status.engines[0].rows_in_use, status.engines[0].decode_seconds) == (3, 1.5)
    assert status.models[0].is_default


def test_models_and_model_give_the_same_value(server: ScriptedServer, client: Client) -> None:
    """A model is the same frozen value from either call."""
    server.answer("ListModels", models_pb2.ListModelsResponse(models=[MODEL]))
    server.answer("GetModel", models_pb2.GetModelResponse(model=MODEL))
    assert client.models() == (client.model("glm-small"),)
    assert client.model().state is ModelState.READY
    assert server.requests[1].name == "glm-small"


def test_tokenize_sends_a_text_or_a_chat(server: ScriptedServer, client: Client) -> None:
    """Both inputs reach the daemon, and the pieces come back with their ids."""
    server.answer("Tokenize", inference_pb2.TokenizeResponse(ids=[1], pieces=["你"]))
    assert client.tokenize("你").pieces == ("你",)
    client.tokenize(messages=[{"role": "user", "content": "你"}], model="m")
    assert [request.WhichOneof("input") for request in server.requests] == ["prompt", "chat"]


def test_cancel_says_whether_anything_ran(server: ScriptedServer, client: Client) -> None:
    """False is an answer, not an error."""
    server.answer("Cancel", inference_pb2.CancelResponse(cancelled=False))
    assert client.cancel("r1") is False
    assert server.requests[0].request_id == "r1"


def test_an_unknown_model_is_a_typed_error(server: ScriptedServer, client: Client) -> None:
    """The error says which names there are."""
    server.answer("GetModel", refusal("NOT_FOUND", "MODEL_NOT_FOUND", name="x", known="glm-small, glm-base"))
    with pytest.raises(openglm.ModelNotFoundError) as caught:
        client.model("x")
    assert (caught.value.name, caught.value.known) == ("x", ("glm-small", "glm-base"))


def test_a_state_from_a_newer_daemon_is_unspecified(server: ScriptedServer, client: Client) -> None:
    """An enum value that this library does not know does not break it."""
    server.answer("GetModel", models_pb2.GetModelResponse(model=models_pb2.Model(name="m", state=99)))  # type: ignore[arg-type]
    assert client.model("m").state is ModelState.UNSPECIFIED


def test_the_clients_timeout_bounds_unary_calls(tmp_path: Path) -> None:
    """The time left never goes below the deadline's: a wait that would pass it is not begun."""
    policy = RetryPolicy(first_delay_seconds=5.0, jitter=lambda: 0.0)
    with (
        Client(tmp_path / "none", timeout=1.0, retry=policy) as client,
        pytest.raises(openglm.DeadlineExceededError, match="No daemon answers"),
    ):
        client.status()


def test_a_closed_client_raises_a_typed_error(server: ScriptedServer) -> None:
    """After `close` nothing is sent; what is asked is refused as ours."""
    client = Client(server.path)
    client.close()
    with pytest.raises(openglm.ClientClosedError):
        client.status()
    with pytest.raises(openglm.ClientClosedError):
        client.generate("x")
