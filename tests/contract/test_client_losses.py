"""How long a lost answer's daemon is waited for, what ends the wait, and what is no loss."""

import queue
import threading
from pathlib import Path

import pytest
from google.rpc import status_pb2

import openglm
from openglm import Client, ConnectionLostError, Finished, FinishReason, RetryPolicy, Started, Token
from tests.support.lost_answers import (
    BEGUN,
    BUSY,
    DRAINING,
    ENGINE,
    FULL,
    IN_USE,
    LOADING,
    client,
    kinds,
    server,
    slept,
    until_error,
)
from tests.support.scripted_server import (
    LIMIT_SECONDS,
    LOST,
    Break,
    Hang,
    ScriptedServer,
    finished,
    refusal,
    started,
    token,
)

__all__ = ["client", "server", "slept"]


def test_what_passes_is_waited_for(server: ScriptedServer, client: Client, slept: list[float]) -> None:
    """Loading, draining, a full line, a session that does not know yet that its reader is gone. Asked waits count."""
    server.play([*BEGUN, LOST], [DRAINING], [LOADING], [FULL], [BUSY], [IN_USE], [started(), token("b", 2), finished()])
    assert client.generate("x", session_id="home").text == "ab"
    assert slept == [0.1, 0.2, 0.4, 2.5, 1.0, 1.0]


def test_a_daemon_that_is_started_again_is_found(tmp_path: Path) -> None:
    """A real one: its socket goes, and comes back after a while."""
    path = tmp_path / "s"
    second = ScriptedServer(path)
    told: list[str] = []

    def sleep(_: float) -> None:
        if told[-1] == "DAEMON_NOT_RUNNING":
            second.__enter__()

    policy = RetryPolicy(before_wait=lambda error, _: told.append(error.code))
    with Client(path, retry=policy, sleep=sleep) as client:
        with ScriptedServer(path) as first:
            first.play([*BEGUN, Break()])
            stream = client.stream("x", session_id="home")
            assert [type(next(stream)) for _ in range(2)] == [Started, Token]
        second.play([started(), token("b", 2), finished()])
        assert "".join(stream.texts()) == "b"
        second.__exit__()
    assert told[-1] == "DAEMON_NOT_RUNNING"


def test_after_the_time_the_loss_is_raised(tmp_path: Path, slept: list[float]) -> None:
    """With how many tokens had come, how long was waited, and what was found."""
    policy = RetryPolicy(jitter=lambda: 0.0, clock=lambda: 0.0, resume_seconds=5)
    with Client(tmp_path / "s", retry=policy, sleep=slept.append) as client:
        with ScriptedServer(tmp_path / "s") as server:
            server.play([*BEGUN, Break()])
            stream = client.stream("x")
            assert [type(next(stream)) for _ in range(2)] == [Started, Token]
        _, error = until_error(stream)
    assert isinstance(error, ConnectionLostError)
    assert (error.received_tokens, error.waited_seconds) == (1, 6)
    assert "No daemon answers" in error.message
    assert (slept[:5], sum(slept)) == ([0.1, 0.2, 0.4, 0.8, 1.0], 5.5)


def test_a_stop_that_nobody_follows_has_its_finished(tmp_path: Path, slept: list[float]) -> None:
    """Held back while there was hope; then handed out before the error."""
    policy = RetryPolicy(clock=lambda: 0.0, resume_seconds=1)
    server = ScriptedServer(tmp_path / "s")
    server.play([*BEGUN, finished("SHUTDOWN"), Break()])
    with server, Client(tmp_path / "s", retry=policy, sleep=slept.append) as client:
        events, error = until_error(client.stream("x"))
    assert [event.reason for event in events if isinstance(event, Finished)] == [FinishReason.SHUTDOWN]
    assert isinstance(error, ConnectionLostError)


def test_a_request_that_kills_its_daemon_is_not_sent_for_ever(server: ScriptedServer, client: Client) -> None:
    """As often as other calls are tried; a token that comes is a new beginning."""
    server.play(*[[*BEGUN, LOST]] * 2, *[[*BEGUN, token("b", 2), LOST]] * 5)
    _, error = until_error(client.stream("x"))
    assert kinds(server) == "G" * 6
    assert "lost 4 times without another token" in str(error)


@pytest.mark.parametrize(
    "policy",
    [openglm.NO_RETRIES, RetryPolicy(resume_seconds=0), RetryPolicy(attempts=1)],
)
def test_it_can_be_switched_off(server: ScriptedServer, policy: RetryPolicy) -> None:
    """Then a loss is a loss."""
    server.play([*BEGUN, LOST])
    with Client(server.path, retry=policy) as client, pytest.raises(ConnectionLostError):
        client.generate("x")
    assert kinds(server) == "G"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ENGINE, openglm.EngineFailedError),
        (refusal("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"), openglm.DeadlineExceededError),
        (refusal("INVALID_ARGUMENT", "BAD_REQUEST"), openglm.RequestError),
    ],
)
def test_what_is_no_loss_is_raised(
    server: ScriptedServer, client: Client, failure: status_pb2.Status, kind: type[openglm.OpenGLMError]
) -> None:
    """The request may be what broke the step; a deadline is somebody's wish."""
    server.play([*BEGUN, failure])
    assert type(until_error(client.stream("x"))[1]) is kind
    assert kinds(server) == "G"


def test_a_connection_that_ends_behind_finished_took_nothing_away(server: ScriptedServer, client: Client) -> None:
    """The answer is whole."""
    server.play([*BEGUN, finished(), LOST])
    assert client.generate("x").text == "a"


def test_a_timeout_spans_everything(server: ScriptedServer, slept: list[float]) -> None:
    """Also the wait for the daemon; Finished comes first, with the counts of what came."""
    server.play([*BEGUN, LOST], [FULL])
    with Client(server.path, sleep=slept.append) as client:
        events, error = until_error(client.stream("x", timeout=2))
    assert isinstance(events[-1], Finished)
    assert (events[-1].reason, events[-1].usage.output_tokens) == (FinishReason.DEADLINE, 1)
    assert isinstance(error, openglm.DeadlineExceededError)


def test_cancelling_ends_the_wait_for_the_daemon(server: ScriptedServer) -> None:
    """At once, from another thread."""
    server.play([*BEGUN, LOST], [refusal("RESOURCE_EXHAUSTED", "QUEUE_FULL", retry_after=29.0)])
    ended: queue.Queue[Exception] = queue.Queue()
    waiting = threading.Event()

    def told(error: openglm.OpenGLMError, _: float) -> None:
        if error.retry_after:
            waiting.set()

    with Client(server.path, retry=RetryPolicy(before_wait=told)) as client:
        stream = client.stream("x")
        threading.Thread(target=lambda: ended.put(until_error(stream)[1]), daemon=True).start()
        assert waiting.wait(LIMIT_SECONDS)
        stream.cancel()
        assert isinstance(ended.get(timeout=10), openglm.RequestCancelledError)


def test_a_cancelled_stream_is_not_taken_up(server: ScriptedServer, client: Client) -> None:
    """Who left does not come back."""
    server.play([*BEGUN, Hang()])
    with client.stream("x", session_id="home") as stream:
        next(stream)
    with pytest.raises(openglm.RequestCancelledError):
        list(stream)
    assert kinds(server) == "G"
