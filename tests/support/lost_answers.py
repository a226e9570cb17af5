"""Answers whose connection is lost: what the tests of taking them up again share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import openglm
from openglm import Client, Event, RetryPolicy
from tests.support.scripted_server import ScriptedServer, refusal, started, token

STEADY = RetryPolicy(jitter=lambda: 0.0, clock=lambda: 0.0)
DRAINING = refusal("UNAVAILABLE", "DRAINING")
NO_ANSWER = refusal("NOT_FOUND", "ANSWER_NOT_FOUND", session_id="home")
GONE = refusal("FAILED_PRECONDITION", "ANSWER_GONE", session_id="home")
LOADING = refusal("UNAVAILABLE", "MODEL_NOT_READY", name="glm-small", state="loading")
FULL = refusal("RESOURCE_EXHAUSTED", "QUEUE_FULL", retry_after=2.5)
BUSY = refusal("ABORTED", "SESSION_BUSY", session_id="home")
IN_USE = refusal("ALREADY_EXISTS", "REQUEST_ID_IN_USE", request_id="r1")
ENGINE = refusal("INTERNAL", "ENGINE_FAILED")
BEGUN = [started(), token("a", 1)]


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
    with Client(server.path, retry=STEADY, sleep=slept.append) as client:
        yield client


def kinds(server: ScriptedServer) -> str:
    """G for each Generate, R for each Resume."""
    return "".join(type(request).__name__[0] for request in server.requests)


def until_error(stream: Iterator[Event]) -> tuple[list[Event], openglm.OpenGLMError]:
    """What a stream hands out, and what it raises."""
    events: list[Event] = []
    try:
        events.extend(stream)
    except openglm.OpenGLMError as error:
        return events, error
    pytest.fail("the stream ended well")
