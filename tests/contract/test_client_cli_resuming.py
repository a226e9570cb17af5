"""autoglmctl when the daemon is lost in the middle of an answer: nothing but a pause, and a word for people."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autoglmctl import terminal
from openglm.v1 import inference_pb2, sessions_pb2
from tests.support.lost_answers import BEGUN, DRAINING, GONE, LOADING, NO_ANSWER
from tests.support.scripted_command import Command, autoglmctl, server
from tests.support.scripted_server import LOST, ScriptedServer, answer, finished, refusal, started, token

__all__ = ["autoglmctl", "server"]

REST = [started(), token("b", 2), finished()]
SESSION = ("--session", "home")


def test_an_answer_goes_on_with_one_remark_each_time(server: ScriptedServer, autoglmctl: Command) -> None:
    """Standard output is as if nothing had been; standard error says why it paused."""
    server.play([*BEGUN, LOST], [LOST], [LOADING], [LOADING], [started(), token("b", 2), LOST], [started(), finished()])
    done = autoglmctl("generate", "x", *SESSION)
    assert (done.exit_code, done.stdout) == (0, "ab\n")
    lost, loading = "connection lost; waiting for the daemon ...", "waiting for the model to load ..."
    assert done.stderr.splitlines() == [lost, loading, lost]


def test_a_stop_is_told_from_a_crash(server: ScriptedServer, autoglmctl: Command) -> None:
    """Somebody stopped it, and is expected to start it again."""
    server.play([*BEGUN, finished("SHUTDOWN"), DRAINING], REST)
    done = autoglmctl("generate", "x", *SESSION)
    assert (done.stdout, done.stderr) == ("ab\n", "the daemon is stopping; waiting for the next one ...\n")


def test_json_stays_pure(server: ScriptedServer, autoglmctl: Command) -> None:
    """Each event once, and not a word beside it."""
    server.play([*BEGUN, LOST], REST, [*BEGUN, LOST], REST)
    lines = autoglmctl("generate", "x", *SESSION, "--json", "--stream")
    events = [json.loads(line)["event"] for line in lines.stdout.splitlines()]
    assert (events, lines.stderr) == (["started", "token", "token", "finished"], "")
    whole = autoglmctl("generate", "x", *SESSION, "--json")
    assert (json.loads(whole.stdout)["text"], whole.stderr) == ("ab", "")


def test_a_chat_goes_on_too(server: ScriptedServer, autoglmctl: Command) -> None:
    """Outside of sessions, by asking the same again."""
    server.play([*BEGUN, LOST], [*BEGUN, token("b", 2), finished()], answer("c"))
    done = autoglmctl("chat", stdin="one\ntwo\n")
    assert (done.exit_code, done.stdout) == (0, "ab\nc\n")
    assert [message.content for message in server.requests[2].chat.messages] == ["one", "ab", "two"]


def test_an_answer_that_is_lost_for_good_says_how_much_came(server: ScriptedServer, autoglmctl: Command) -> None:
    """And what to do; the exit code is that of a daemon that is not there."""
    server.play([*BEGUN, LOST], [GONE])
    done = autoglmctl("generate", "x", *SESSION)
    assert done.exit_code == 3
    assert "1 tokens of the answer had come" in done.stderr
    assert "autoglmctl session resume NAME" in done.stderr


@pytest.mark.parametrize(("words", "said"), [((), "ab\n"), (("--json",), "ab"), (("--json", "--stream"), "ab")])
def test_a_sessions_last_answer_is_printed_again(
    server: ScriptedServer, autoglmctl: Command, words: tuple[str, ...], said: str
) -> None:
    """From its beginning, for who lost the terminal."""
    server.play([*BEGUN, token("b", 2), finished()])
    done = autoglmctl("session", "resume", "home", *words)
    documents = [json.loads(line) for line in done.stdout.splitlines()] if words else []
    assert (done.exit_code, "".join(each.get("text", "") for each in documents) or done.stdout) == (0, said)
    assert server.requests == [inference_pb2.ResumeRequest(session_id="home")]


def test_a_session_without_an_answer_is_a_usage_error(server: ScriptedServer, autoglmctl: Command) -> None:
    """It has none to take up."""
    server.play([NO_ANSWER])
    assert autoglmctl("session", "resume", "home").exit_code == 2
    assert autoglmctl("session", "resume", "home", "--stream").exit_code == 2


def test_a_remark_begins_a_line_on_a_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where an answer stands in the middle of one; in a file nothing is put into the answer."""
    said = terminal.Terminal()
    said.write("half")
    said.remark("one")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    said.remark("two")
    said.remark("three")
    out, err = capsys.readouterr()
    assert (out, err) == ("half", "one\n\ntwo\nthree\n")


def test_the_oldest_are_dropped_where_one_says_so(server: ScriptedServer, autoglmctl: Command) -> None:
    """And what was dropped is told."""
    server.play([started(dropped_messages=4), token("a", 1), finished()], answer("b"))
    done = autoglmctl("generate", "x", "--drop-oldest")
    assert (done.stdout, "oldest 4 messages were dropped" in done.stderr) == ("a\n", True)
    autoglmctl("chat", "--drop-oldest", stdin="x\n")
    assert {request.overflow for request in server.requests} == {inference_pb2.OVERFLOW_DROP_OLDEST}


def test_a_chat_knows_what_its_session_dropped(server: ScriptedServer, autoglmctl: Command, tmp_path: Path) -> None:
    """What the daemon keeps is what was said."""
    missing = refusal("NOT_FOUND", "SESSION_NOT_FOUND", session_id="home")
    left = sessions_pb2.GetSessionResponse(messages=[inference_pb2.Message(role="user", content="kept")])
    server.answer("GetSession", missing, left)
    server.play([started(dropped_messages=2), token("a", 1), finished()])
    autoglmctl("chat", *SESSION, "--drop-oldest", stdin=f"x\n/save {tmp_path / 'chat.json'}\n")
    assert [turn["content"] for turn in json.loads((tmp_path / "chat.json").read_text())] == ["kept"]


def test_a_chat_that_is_kept_nowhere_drops_what_the_daemon_dropped(server: ScriptedServer, autoglmctl: Command) -> None:
    """So the next question does not send it again."""
    server.play(answer("A"), [started(dropped_messages=2), token("B", 1), finished()], answer("C"))
    autoglmctl("chat", "--drop-oldest", "--system", "S", stdin="one\ntwo\nthree\n")
    assert [message.content for message in server.requests[-1].chat.messages] == ["S", "two", "B", "three"]


def test_ctrl_c_ends_the_wait_for_the_daemon(server: ScriptedServer) -> None:
    """At once, with the exit code of an interruption."""
    server.play([*BEGUN, LOST], [refusal("RESOURCE_EXHAUSTED", "QUEUE_FULL", retry_after=29.0)])
    line = [sys.executable, "-m", "autoglmctl", "--socket", str(server.path), "generate", "x"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"connection lost" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, b"a\n", b"(stopped)\n")
