"""autoglmctl chat against a real server on a Unix socket."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from autoglmctl.app import build_app
from tests.support.scripted_server import ScriptedServer, answer, finished, refusal, started, token

FULL = refusal("RESOURCE_EXHAUSTED", "QUEUE_FULL", retry_after=60, waiting=9, limit=8)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    """A scripted daemon that runs during the test."""
    with ScriptedServer(tmp_path / "s") as server:
        yield server


def chat(server: ScriptedServer, *words: str, stdin: str | bytes) -> Result:
    """Run one chat; each line of `stdin` is a turn."""
    return CliRunner().invoke(build_app(), ["--socket", str(server.path), "chat", *words], input=stdin)


def test_chat_from_a_pipe_keeps_the_conversation(server: ScriptedServer, tmp_path: Path) -> None:
    """Each line is a turn, slash commands work, and earlier turns are sent again."""
    server.play(answer("A"), answer("B"))
    path = tmp_path / "chat.json"
    done = chat(server, "--system", "S", stdin=f"one\n/foo\n//two\n/save {path}\n/exit\nnever\n")
    assert (done.exit_code, done.stdout) == (0, "A\nB\n")
    assert "There is no /foo" in done.stderr
    assert [turn.content for turn in server.requests[1].chat.messages] == ["S", "one", "A", "/two"]
    assert [turn["content"] for turn in json.loads(path.read_text())] == ["S", "one", "A", "/two", "B"]


def test_chat_goes_on_after_an_error(server: ScriptedServer) -> None:
    """A refused question is said and forgotten, and the conversation goes on; the exit code tells a script of it."""
    server.play([FULL], answer("B"))
    done = chat(server, stdin="one\ntwo\n")
    assert (done.exit_code, done.stdout) == (4, "B\n")
    assert "Queue full" in done.stderr
    assert [turn.content for turn in server.requests[1].chat.messages] == ["two"]


def test_chat_says_that_an_answer_was_cancelled(server: ScriptedServer) -> None:
    """And goes on; what came stays part of the conversation, as after Ctrl-C."""
    server.play([started(), token("Half", 5), finished("CANCELLED")], answer("B"))
    done = chat(server, stdin="one\ntwo\n")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "Half\nB\n", "(cancelled)\n")
    assert [turn.content for turn in server.requests[1].chat.messages] == ["one", "Half", "two"]


def test_chat_says_that_a_line_is_no_text(server: ScriptedServer) -> None:
    """As generate does of its prompt."""
    server.play(answer("A"))
    done = chat(server, stdin=b"\xff\n")
    assert (done.exit_code, done.stderr) == (2, "Error: Standard input is not UTF-8 text: it has the byte 0xff.\n")


def test_chat_json_is_an_object_per_answer(server: ScriptedServer) -> None:
    """Programs can hold a conversation, too."""
    server.play(answer("A"), answer("B"))
    done = chat(server, "--json", stdin="one\ntwo\n")
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["A", "B"]
