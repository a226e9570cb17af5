"""Sessions through the clients and the command, against a real server on a Unix socket."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import CliRunner

import openglm
from autoglmctl.app import build_app
from openglm import AsyncClient, CacheMiss, CacheTier, Client
from openglm.v1 import inference_pb2, sessions_pb2
from tests.support.scripted_command import Command, autoglmctl, server
from tests.support.scripted_server import ScriptedServer, answer, finished, refusal, started, token

__all__ = ["autoglmctl", "server"]

LONG_AGO = Timestamp(seconds=1_700_000_000)
HOME = sessions_pb2.Session(
    session_id="home",
    model="glm-small",
    created=LONG_AGO,
    last_used=LONG_AGO,
    expires=Timestamp(seconds=4_000_000_000),
    turns=2,
    tokens=30,
    disk_bytes=4096,
)
SAID = [
    inference_pb2.Message(role="user", content="你好"),
    inference_pb2.Message(role="assistant", content="hello\x1b[2J"),
]
NOT_FOUND = refusal("NOT_FOUND", "SESSION_NOT_FOUND", session_id="home")


@pytest.fixture(name="client")
def make_client(server: ScriptedServer) -> Iterator[Client]:
    """A client of the scripted daemon."""
    with Client(server.path) as client:
        yield client


async def test_both_clients_list_sessions_with_aware_times(server: ScriptedServer, client: Client) -> None:
    """A time without a zone is a riddle."""
    server.answer("ListSessions", sessions_pb2.ListSessionsResponse(sessions=[HOME]))
    (session,) = client.sessions()
    assert (session.session_id, session.turns, session.disk_bytes) == ("home", 2, 4096)
    assert session.created == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    async with AsyncClient(server.path) as other:
        assert await other.sessions() == (session,)


def test_a_session_comes_with_what_was_said(server: ScriptedServer, client: Client) -> None:
    """And one that is not there is a typed error."""
    server.answer("GetSession", sessions_pb2.GetSessionResponse(session=HOME, messages=SAID), NOT_FOUND)
    session = client.session("home")
    assert (session.info.tokens, session.messages[0].content) == (30, "你好")
    with pytest.raises(openglm.SessionNotFoundError) as caught:
        client.session("home")
    assert caught.value.session_id == "home"


def test_a_deleted_session_is_named(server: ScriptedServer, client: Client) -> None:
    """In the request."""
    server.answer("DeleteSession", sessions_pb2.DeleteSessionResponse())
    client.delete_session("home")
    assert server.requests[0].session_id == "home"


def test_started_says_where_the_conversation_was(server: ScriptedServer, client: Client) -> None:
    """Tier and reason as names; what a newer daemon calls otherwise is unspecified."""
    cold = started(cached_tokens=9, cache_tier="CACHE_TIER_DISK", cache_miss="CACHE_MISS_DAMAGED")
    server.play([cold, token("a", 1), finished()], [started(cache_tier=99), token("a", 1), finished()])
    told = client.generate("x", session_id="home").started
    assert (told.cached_tokens, told.cache_tier, told.cache_miss) == (9, CacheTier.DISK, CacheMiss.DAMAGED)
    assert client.generate("x").started.cache_tier is CacheTier.UNSPECIFIED
    assert [request.session_id for request in server.requests] == ["home", ""]


def test_the_command_lists_shows_and_deletes(server: ScriptedServer, autoglmctl: Command) -> None:
    """For eyes and for programs; what a model said is no command to the terminal."""
    server.answer("ListSessions", sessions_pb2.ListSessionsResponse(sessions=[HOME]))
    server.answer("GetSession", sessions_pb2.GetSessionResponse(session=HOME, messages=SAID))
    server.answer("DeleteSession", sessions_pb2.DeleteSessionResponse())
    listed = autoglmctl("session", "list")
    assert listed.exit_code == 0
    assert "home" in listed.stdout
    assert "4.1 kB" in listed.stdout
    body = json.loads(autoglmctl("session", "list", "--json").stdout)
    assert body["sessions"][0]["created"] == "2023-11-14T22:13:20+00:00"
    shown = autoglmctl("session", "show", "home").stdout
    assert "user: 你好" in shown
    assert "\x1b" not in shown
    assert autoglmctl("session", "delete", "home").stdout == "Session home is gone.\n"


def test_a_session_that_is_not_there_is_a_usage_error(server: ScriptedServer, autoglmctl: Command) -> None:
    """With what to do."""
    server.answer("DeleteSession", NOT_FOUND)
    done = autoglmctl("session", "delete", "home")
    assert done.exit_code == 2
    assert "Session not found" in done.stderr


def test_no_sessions_are_said_with_how_to_begin_one(server: ScriptedServer, autoglmctl: Command) -> None:
    """An empty table says nothing."""
    server.answer("ListSessions", sessions_pb2.ListSessionsResponse())
    assert "--session NAME" in autoglmctl("session", "list").stdout


def chat(server: ScriptedServer, stdin: str, *words: str) -> tuple[str, str]:
    """A chat in the session; what it wrote to stdout and stderr."""
    done = CliRunner().invoke(
        build_app(), ["--socket", str(server.path), "chat", "--session", "home", *words], input=stdin
    )
    assert done.exit_code == 0
    return done.stdout, done.stderr


def sent(server: ScriptedServer) -> list[list[str]]:
    """The messages of each Generate call."""
    asked = [request for request in server.requests if isinstance(request, inference_pb2.GenerateRequest)]
    assert {request.session_id for request in asked} == {"home"}
    return [[message.content for message in request.chat.messages] for request in asked]


def test_a_chat_in_a_new_session_sends_each_thing_once(server: ScriptedServer) -> None:
    """The system message with the first question; later questions alone."""
    server.answer("GetSession", NOT_FOUND)
    server.play(answer("A"), answer("B"))
    chat(server, "one\ntwo\n", "--system", "S")
    assert sent(server) == [["S", "one"], ["two"]]


def test_a_chat_picks_up_where_it_was(server: ScriptedServer, tmp_path: Path) -> None:
    """It says so, sends what is new, and saves all of it."""
    server.answer("GetSession", sessions_pb2.GetSessionResponse(session=HOME, messages=SAID))
    server.play(answer("A"))
    path = tmp_path / "chat.json"
    _, said = chat(server, f"one\n/save {path}\n", "--system", "S")
    assert "Session home goes on: 2 messages." in said
    assert "--system is not sent" in said
    assert sent(server) == [["one"]]
    assert [turn["content"] for turn in json.loads(path.read_text())] == ["你好", "hello\x1b[2J", "one", "A"]


def test_a_session_that_was_gone_begins_anew_and_says_so(server: ScriptedServer, tmp_path: Path) -> None:
    """What was said before is no part of it any more, here either."""
    server.answer("GetSession", sessions_pb2.GetSessionResponse(session=HOME, messages=SAID))
    server.play([started(cache_miss="CACHE_MISS_EXPIRED"), token("A", 1), finished()])
    path = tmp_path / "chat.json"
    _, said = chat(server, f"one\n/save {path}\n")
    assert "unused for too long" in said
    assert [turn["content"] for turn in json.loads(path.read_text())] == ["one", "A"]


def test_a_session_that_is_deleted_meanwhile_is_missed(server: ScriptedServer) -> None:
    """From another terminal, say. The system message goes with the next question, which is of the new one."""
    server.answer("GetSession", NOT_FOUND)
    new = [started(cache_miss="CACHE_MISS_NEW_SESSION"), token("A", 1), finished()]
    server.play(new, new, answer("C"))
    _, said = chat(server, "one\ntwo\nthree\n", "--system", "S")
    assert said.count("the session is gone, and begins anew") == 1
    assert sent(server) == [["S", "one"], ["two"], ["S", "three"]]


def test_an_answer_apart_from_its_session_is_no_turn_of_it(server: ScriptedServer, tmp_path: Path) -> None:
    """What is there is what was there before, and what is taken back next."""
    server.answer("GetSession", sessions_pb2.GetSessionResponse(session=HOME, messages=SAID))
    server.play([started(cache_miss="CACHE_MISS_UNREADABLE"), token("A", 1), finished()])
    path = tmp_path / "chat.json"
    _, said = chat(server, f"one\n/save {path}\n")
    assert "is not added to it" in said
    assert [turn["content"] for turn in json.loads(path.read_text())] == ["你好", "hello\x1b[2J"]


def test_after_a_failed_answer_the_daemons_word_counts(server: ScriptedServer) -> None:
    """Nothing was kept of the first question, so the second begins the session, system message and all."""
    server.answer("GetSession", NOT_FOUND)
    server.play([refusal("INVALID_ARGUMENT", "INVALID_ARGUMENT", field="chat")], answer("A"))
    line = ["--socket", str(server.path), "chat", "--session", "home", "--system", "S"]
    CliRunner().invoke(build_app(), line, input="one\ntwo\n")
    assert sent(server) == [["S", "one"], ["S", "two"]]


def test_clearing_a_chat_makes_the_daemon_forget_it(server: ScriptedServer) -> None:
    """The next question is the first of a new conversation."""
    server.answer("GetSession", sessions_pb2.GetSessionResponse(session=HOME, messages=SAID))
    server.answer("DeleteSession", sessions_pb2.DeleteSessionResponse())
    server.play(answer("A"))
    chat(server, "/clear\none\n", "--system", "S")
    assert sent(server) == [["S", "one"]]
    assert any(isinstance(request, sessions_pb2.DeleteSessionRequest) for request in server.requests)


def test_clearing_a_chat_that_is_gone_already_is_no_error(server: ScriptedServer) -> None:
    """What was wanted is so."""
    server.answer("GetSession", sessions_pb2.GetSessionResponse(session=HOME, messages=SAID))
    server.answer("DeleteSession", NOT_FOUND)
    _, said = chat(server, "/clear\n")
    assert "The conversation begins anew." in said
