"""Answers that go on by themselves when the connection or the daemon is lost, on a real server's Unix socket."""

from typing import Any

import pytest
from google.rpc import code_pb2, status_pb2

import openglm
from openglm import Client, ConnectionLostError, Finished, FinishReason, PrefillProgress, Started, Token
from openglm.v1 import inference_pb2
from tests.support.lost_answers import (
    BEGUN,
    DRAINING,
    ENGINE,
    GONE,
    NO_ANSWER,
    client,
    kinds,
    server,
    slept,
    until_error,
)
from tests.support.scripted_server import LOST, ScriptedServer, answer, finished, prefill, refusal, started, token

__all__ = ["client", "server", "slept"]


@pytest.mark.parametrize("loss", [[LOST], [finished("SHUTDOWN"), DRAINING], [finished("SHUTDOWN")], []])
@pytest.mark.parametrize("session", ["", "home"])
def test_the_caller_sees_one_stream(server: ScriptedServer, client: Client, session: str, loss: list[Any]) -> None:
    """One Started, no gap, no repeat, one Finished with the usage of all: after a kill and after a stop."""
    again = [] if session else [token("a", 1)]
    server.play([*BEGUN, *loss], [started(), *again, token("b", 2), finished()])
    events = list(client.stream("x", session_id=session))
    assert [type(event) for event in events] == [Started, Token, Token, Finished]
    assert [event.text for event in events if isinstance(event, Token)] == ["a", "b"]
    assert isinstance(events[-1], Finished)
    assert (events[-1].reason, events[-1].usage.output_tokens) == (FinishReason.STOP, 2)


def test_in_a_session_the_rest_is_asked_for(server: ScriptedServer, client: Client) -> None:
    """By the request's name, and behind the tokens that came; as often as it is lost."""
    server.play(
        [started(), token("ab", 1, 2), LOST],
        [started(), prefill(1, 2), token("c", 3), LOST],
        [started(), token("d", 4), finished()],
    )
    with client.stream("x", session_id="home", traceparent="00-a") as stream:
        events = list(stream)
    assert "".join(event.text for event in events if isinstance(event, Token)) == "abcd"
    asked, first, second = server.requests
    assert asked.request_id
    assert first == inference_pb2.ResumeRequest(session_id="home", after_token=2, request_id=asked.request_id)
    assert second.after_token == 3
    assert all(sent["traceparent"] == "00-a" for sent in server.metadata)


def test_outside_of_sessions_the_same_is_asked_again(server: ScriptedServer, client: Client) -> None:
    """With the seed that was in use; log probabilities come once, too."""
    server.play(
        [started(seed=5), token("a", 1, logprob=-1), LOST],
        [started(seed=5), token("a", 1, logprob=-1), token("b", 2, logprob=-2), finished()],
    )
    completion = client.generate("x", max_tokens=9, logprobs=0)
    assert (completion.text, completion.ids) == ("ab", (1, 2))
    assert [entry.chosen.logprob for entry in completion.logprobs] == [-1, -2]
    first, second = server.requests
    assert second.sampling.seed == 5
    second.sampling.ClearField("seed")
    assert second == first


@pytest.mark.parametrize("words", ["Socket closed", "Stream removed (ping timeout)", "something new"])
def test_before_the_first_event_the_request_may_have_been_taken(
    server: ScriptedServer, client: Client, words: str
) -> None:
    """A session is asked whether it was, and the request is sent again only if not."""
    lost = status_pb2.Status(code=code_pb2.UNAVAILABLE, message=words)
    server.play([lost], answer("a"), [lost], [NO_ANSWER], answer("b"), [lost], answer("c"))
    assert client.generate("x", session_id="home").text == "a"
    assert client.generate("x", session_id="home").text == "b"
    assert client.generate("x").text == "c"
    assert kinds(server) == "GR" + "GRG" + "GG"
    assert server.requests[1].after_token == 0
    assert server.requests[4] == server.requests[2]


def test_a_request_that_was_forgotten_before_its_first_token_is_sent_again(
    server: ScriptedServer, client: Client
) -> None:
    """The daemon died in the prefill, before anything was on its disk."""
    server.play([started(seed=5), prefill(1, 2), LOST], [NO_ANSWER], [started(seed=5), token("a", 1), finished()])
    events = list(client.stream("x", session_id="home"))
    assert [type(event) for event in events] == [Started, PrefillProgress, Token, Finished]
    assert server.requests[2].sampling.seed == 5


@pytest.mark.parametrize("refused", [NO_ANSWER, GONE, refusal("UNIMPLEMENTED", "NOT_SUPPORTED"), ENGINE])
def test_a_rest_that_cannot_be_had_is_said_and_nothing_repeated(
    server: ScriptedServer, client: Client, refused: status_pb2.Status
) -> None:
    """How many tokens came, and why there are no more."""
    server.play([*BEGUN, LOST], [refused])
    with pytest.raises(
        ConnectionLostError, match=r"broke.*1 tokens of the answer had come.*rest cannot be had"
    ) as lost:
        client.generate("x", session_id="home")
    assert lost.value.received_tokens == 1
    assert isinstance(lost.value.__cause__, openglm.OpenGLMError)
    assert kinds(server) == "GR"


@pytest.mark.parametrize(
    "other",
    [
        [started(model_version="2"), token("a", 1), token("b", 2), finished()],
        [started(), token("A", 9), token("b", 2), finished()],
        [started(), token("", 1), finished()],
    ],
)
def test_another_answer_is_never_mixed_in(server: ScriptedServer, client: Client, other: list[Any]) -> None:
    """Another version of the model answers now, or the answer goes otherwise."""
    server.play([*BEGUN, LOST], other)
    stream = client.stream("x")
    events, error = until_error(stream)
    assert [type(event) for event in events] == [Started, Token]
    assert isinstance(error, ConnectionLostError)
    assert "another answer now" in error.message
    with pytest.raises(ConnectionLostError):
        next(stream)


def test_anybody_may_take_a_sessions_answer_up(server: ScriptedServer, client: Client) -> None:
    """From a token on; lost once more, it is the same answer that is asked for, and what came is not told twice."""
    begun, told = [started(request_id="r9"), token("c", 3)], [token("d", 4), finished()]
    server.play([*begun, LOST], [*begun, *told])
    assert client.resume("home", 2).completion().text == "cd"
    first, second = server.requests
    assert first == inference_pb2.ResumeRequest(session_id="home", after_token=2)
    assert second == inference_pb2.ResumeRequest(session_id="home", after_token=2, request_id="r9")


def test_an_answer_taken_up_inside_a_piece_has_no_gap_when_it_is_lost_again(
    server: ScriptedServer, client: Client
) -> None:
    """The piece comes whole, so that more tokens come than are behind the place; those are not counted as behind it."""
    whole = [token("def", 4, 5, 6), token("g", 7), token("h", 8), finished()]
    server.play([started(), whole[0], LOST], [started(), *whole])
    assert client.resume("home", 5).completion().ids == (4, 5, 6, 7, 8)


def test_no_prompt_is_read_behind_the_answers_first_token(server: ScriptedServer, client: Client) -> None:
    """A bar would be drawn into the middle of a line; before the first token, it is welcome again."""
    server.play(
        [started(), prefill(1, 2), LOST],
        [started(), prefill(2, 2), token("a", 1), LOST],
        [started(), prefill(1, 2), token("b", 2), finished()],
    )
    events = list(client.stream("x", session_id="home"))
    assert [type(event) for event in events] == [Started, PrefillProgress, PrefillProgress, Token, Token, Finished]


def test_an_answer_that_nobody_knows_is_a_typed_error(server: ScriptedServer, client: Client) -> None:
    """The session has no such answer, or one that can no longer be told; a bad count never gets there."""
    server.play([NO_ANSWER], [GONE])
    with pytest.raises(openglm.AnswerNotFoundError) as unknown:
        client.resume("home", request_id="r1").completion()
    assert isinstance(unknown.value, openglm.SessionNotFoundError)
    with pytest.raises(openglm.AnswerGoneError):
        client.resume("home", request_id="r1").completion()
    with pytest.raises(openglm.InvalidArgumentError, match="after_token"):
        client.resume("home", -(2**40))
