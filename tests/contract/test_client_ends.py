"""How a stream ends that the daemon, or the deadline, does not let come to its end: Finished, then the error."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.rpc import status_pb2

import openglm
from openglm import NO_RETRIES, Client, Finished, FinishReason
from tests.support.scripted_server import Hang, ScriptedServer, finished, refusal, started, token


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    """A scripted daemon that runs during the test."""
    with ScriptedServer(tmp_path / "s") as server:
        yield server


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    """A client of it that takes nothing up again."""
    with Client(server.path, retry=NO_RETRIES) as client:
        yield client


@pytest.mark.parametrize(
    ("reason", "status", "kind"),
    [
        ("SHUTDOWN", refusal("UNAVAILABLE", "DRAINING"), openglm.DrainingError),
        ("ERROR", refusal("INTERNAL", "ENGINE_FAILED"), openglm.EngineFailedError),
        ("DEADLINE", refusal("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"), openglm.DeadlineExceededError),
    ],
)
def test_the_daemons_finished_comes_before_its_error(
    server: ScriptedServer, client: Client, reason: str, status: status_pb2.Status, kind: type[openglm.OpenGLMError]
) -> None:
    """Who reads the events learns the counts and the reason, once, and then gets the error."""
    server.play([started(), token("a", 1), finished(reason), status])
    stream = client.stream("x")
    events = [next(stream) for _ in range(3)]
    assert isinstance(events[2], Finished)
    assert (events[2].reason.name, events[2].timings.total_ms) == (reason, 6)
    with pytest.raises(kind):
        next(stream)


def test_a_stream_that_its_deadline_cut_off_has_its_finished_too(server: ScriptedServer, client: Client) -> None:
    """The call ends on this side before the daemon's word can come; the counts are of what came."""
    server.play([started(prompt_tokens=3), token("ab", 1, 2), Hang()])
    stream = client.stream("x", timeout=2)
    events = [next(stream) for _ in range(3)]
    assert events[2] == Finished(FinishReason.DEADLINE, openglm.Usage(prompt_tokens=3, output_tokens=2))
    with pytest.raises(openglm.DeadlineExceededError):
        next(stream)
