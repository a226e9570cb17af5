"""autoglmctl session fork, rewind, export and import, and what else it tells of sessions."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.message import Message

from autoglmctl import completion
from openglm.v1 import admin_pb2, inference_pb2, sessions_pb2
from tests.contract.test_client_session_files import EXISTS, FORKED, HOME, IMPORTED, REWOUND, pieces
from tests.support.scripted_command import Command, autoglmctl, server
from tests.support.scripted_server import LOST, ScriptedServer, answer, refusal

__all__ = ["autoglmctl", "server"]

SAID = [
    inference_pb2.Message(role="user", content="one"),
    inference_pb2.Message(role="assistant", content="A"),
    inference_pb2.Message(role="user", content="two"),
    inference_pb2.Message(role="assistant", content="B"),
]
TURNS = [
    sessions_pb2.Turn(number=1, answer_start=4, end=9, messages=2),
    sessions_pb2.Turn(number=2, answer_start=21, end=30, messages=4),
]
WHOLE = sessions_pb2.GetSessionResponse(session=HOME, messages=SAID, turns=TURNS)


def test_show_tells_where_the_turns_end(server: ScriptedServer, autoglmctl: Command) -> None:
    """There one may fork and rewind."""
    server.answer("GetSession", WHOLE)
    shown = autoglmctl("session", "show", "home").stdout
    assert "21 to 30" in shown
    assert "30, 28 of them computed" in shown
    body = json.loads(autoglmctl("session", "show", "home", "--json").stdout)
    assert body["turns"][1] == {"number": 2, "answer_start": 21, "end": 30, "messages": 4}


def test_fork_and_rewind_say_what_is_there_now(server: ScriptedServer, autoglmctl: Command) -> None:
    """For eyes and for programs."""
    server.answer("ForkSession", FORKED, FORKED, EXISTS)
    server.answer("RewindSession", REWOUND)
    forked = autoglmctl("session", "fork", "home", "away", "--at-turn", "1")
    assert forked.stdout == "Session away begins with 2 turns, 30 tokens.\n"
    assert json.loads(autoglmctl("session", "fork", "home", "away", "--json").stdout)["tokens"] == 30
    assert autoglmctl("session", "fork", "home", "away").exit_code == 2
    assert autoglmctl("session", "rewind", "home", "--at-token", "9").stdout == "Session home has 2 turns, 30 tokens.\n"
    assert autoglmctl("session", "rewind", "home", "--at-token", "9", "--at-turn", "1").exit_code == 2
    assert server.requests[0].at_turn == 1
    assert server.requests[-1].at_token == 9


@pytest.mark.parametrize(
    ("method", "answered", "words"),
    [
        ("ForkSession", sessions_pb2.ForkSessionResponse, ("fork", "home", "away")),
        ("RewindSession", sessions_pb2.RewindSessionResponse, ("rewind", "home")),
        ("ImportSession", sessions_pb2.ImportSessionResponse, ("import", "-", "home")),
    ],
)
def test_a_change_that_is_not_on_disk_yet_is_done_and_said(
    server: ScriptedServer, autoglmctl: Command, method: str, answered: Callable[..., Message], words: tuple[str, ...]
) -> None:
    """A crash would take it back, which the figures alone do not tell; programs have disk_bytes."""
    server.answer(method, answered(session=sessions_pb2.Session(session_id="home", turns=2, tokens=30)))
    done = autoglmctl("session", *words, stdin=b"x")
    assert (done.exit_code, "2 turns, 30 tokens" in done.stdout) == (0, True)
    assert "not on the daemon's disk yet, and would be lost" in done.stderr
    assert autoglmctl("session", *words, "--json", stdin=b"x").stderr == ""
    server.forget()
    server.answer(method, answered(session=HOME))
    assert autoglmctl("session", *words, stdin=b"x").stderr == ""


def test_an_export_is_a_file_here(
    server: ScriptedServer, autoglmctl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named as the session, or as one says; standard output gets the bytes alone."""
    monkeypatch.chdir(tmp_path)
    server.answer("GetSession", WHOLE)
    server.answer("ExportSession", *pieces(b"ab", b"\xff"))
    done = autoglmctl("session", "export", "home")
    assert done.stdout == "Session home is in home.session, 3 B.\n"
    assert (tmp_path / "home.session").read_bytes() == b"ab\xff"
    server.answer("ExportSession", *pieces(b"ab"))
    body = json.loads(autoglmctl("session", "export", "home", "other", "--json").stdout)
    assert body == {"session_id": "home", "file": "other", "bytes": 2}
    server.answer("ExportSession", *pieces(b"ab", b"\xff"))
    assert autoglmctl("session", "export", "home", "-").stdout_bytes == b"ab\xff"


def test_an_export_replaces_a_file_only_where_one_says_so(
    server: ScriptedServer, autoglmctl: Command, tmp_path: Path
) -> None:
    """By a default name it is somebody's of yesterday; the daemon is not asked."""
    file = tmp_path / "home.session"
    file.write_bytes(b"before")
    server.answer("ExportSession", *pieces(b"ab"))
    done = autoglmctl("session", "export", "home", str(file))
    assert (done.exit_code, file.read_bytes(), server.requests) == (2, b"before", [])
    assert "--force" in done.stderr
    assert autoglmctl("session", "export", "home", str(file), "--force").exit_code == 0
    assert file.read_bytes() == b"ab"
    done = autoglmctl("session", "export", "home", "/dev/null")
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: /dev/null cannot be written: it is there, and no regular file.\n",
    )


def test_nobody_is_asked_for_a_bar_that_nobody_sees(
    server: ScriptedServer, autoglmctl: Command, tmp_path: Path
) -> None:
    """The answer would be the whole conversation."""
    server.answer("ExportSession", *pieces(b"ab"))
    assert autoglmctl("session", "export", "home", str(tmp_path / "f")).exit_code == 0
    assert [type(request).__name__ for request in server.requests] == ["ExportSessionRequest"]


def test_an_export_that_cannot_be_written_is_one_line(server: ScriptedServer, autoglmctl: Command) -> None:
    """And one that breaks is the connection's error, not the file's."""
    server.answer("GetSession", WHOLE)
    done = autoglmctl("session", "export", "home", "/nowhere/home")
    assert (done.exit_code, done.stderr) == (1, "Error: /nowhere/home cannot be written: No such file or directory.\n")
    server.answer("ExportSession", *pieces(b"ab"), LOST)
    done = autoglmctl("session", "export", "home", "/tmp/never-there.session")  # noqa: S108 - it is never written
    assert done.exit_code == 3
    assert not Path("/tmp/never-there.session").exists()  # noqa: S108 - as above
    assert autoglmctl("session", "export", "../home").exit_code == 2


def test_a_name_that_can_be_no_files_is_one_line(
    server: ScriptedServer, autoglmctl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session may have one that is longer than any; the daemon is not asked."""
    monkeypatch.chdir(tmp_path)
    done = autoglmctl("session", "export", "长" * 128)
    assert (done.exit_code, done.stderr.endswith(".session cannot be written: File name too long.\n")) == (1, True)
    assert server.requests == []


def test_a_file_that_cannot_be_read_to_its_end_is_one_line(server: ScriptedServer, autoglmctl: Command) -> None:
    """It is the file's fault, and no output's."""
    server.answer("ImportSession", IMPORTED)
    done = autoglmctl("session", "import", "/proc/self/mem", "home")
    assert (done.exit_code, done.stderr) == (1, "Error: /proc/self/mem cannot be read: Input/output error.\n")


def test_an_import_is_named_as_its_file(
    server: ScriptedServer, autoglmctl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or as one says, which standard input needs."""
    server.answer("ImportSession", IMPORTED)
    file = tmp_path / "away.session"
    file.write_bytes(b"abc")
    assert autoglmctl("session", "import", str(file)).stdout == "Session away has 2 turns, 30 tokens.\n"
    assert json.loads(autoglmctl("session", "import", str(file), "home", "--json").stdout)["turns"] == 2
    assert autoglmctl("session", "import", "-", "home", stdin=b"\xff").exit_code == 0
    assert autoglmctl("session", "import", "-").exit_code == 2
    assert autoglmctl("session", "import", str(tmp_path / "none")).exit_code == 1
    sent = [(request.session_id, request.data) for request in server.requests]
    assert sent == [("away", b"abc"), ("home", b"abc"), ("home", b"\xff")]
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def test_a_large_export_shows_how_far_it_is(
    server: ScriptedServer, autoglmctl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To who looks; the figure is of what came."""
    shown: list[object] = []

    class Bar:
        """A progress display that is kept."""

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is open."""

        def add_task(self, what: str, *, total: int, note: str) -> int:
            """Begin."""
            shown.append((what, total, note))
            return 0

        def update(self, _: int, *, completed: int, note: str) -> None:
            """Go on."""
            shown.append((completed, note))

    monkeypatch.setattr("autoglmctl.session_files._SHOWN_FROM_BYTES", 1)
    monkeypatch.setattr("autoglmctl.terminal.Terminal.shows_progress", property(lambda _: True))
    monkeypatch.setattr("autoglmctl.terminal.Terminal.progress", lambda _: Bar())
    server.answer("GetSession", WHOLE)
    server.answer("ExportSession", *pieces(b"ab", b"c"))
    assert autoglmctl("session", "export", "home", str(tmp_path / "f")).exit_code == 0
    assert shown == [("exporting", 4096, ""), (2, "2 B"), (3, "3 B")]


def test_a_chat_takes_back_its_last_turn_and_is_forked(server: ScriptedServer, autoglmctl: Command) -> None:
    """In a session by the daemon, which then tells what is left."""
    left = sessions_pb2.GetSessionResponse(session=HOME, messages=SAID[:2])
    server.answer("GetSession", WHOLE, WHOLE, left)
    server.answer("RewindSession", REWOUND)
    server.answer("ForkSession", FORKED, EXISTS)
    done = autoglmctl("chat", "--session", "home", stdin="/rewind\n/fork away\n/fork away\n/fork\n")
    assert 'The question "two" and its answer are taken back.' in done.stderr
    assert "in session away, too" in done.stderr
    assert "Session exists" in done.stderr
    assert "/fork NAME" in done.stderr
    assert sessions_pb2.ForkSessionRequest(session_id="home", new_session_id="away") in server.requests


def test_a_chat_that_is_kept_nowhere_takes_back_its_own(server: ScriptedServer, autoglmctl: Command) -> None:
    """And cannot be forked."""
    server.play(answer("A"), answer("B"), answer("C"))
    done = autoglmctl("chat", stdin="/rewind\none\ntwo\n/rewind\n/fork away\nthree\n")
    assert "nothing to take back" in done.stderr
    assert "--session NAME" in done.stderr
    assert [message.content for message in server.requests[-1].chat.messages] == ["one", "A", "three"]


def test_status_tells_of_sessions(server: ScriptedServer, autoglmctl: Command) -> None:
    """How many, where they were found, and what waits for the disk."""
    kept = admin_pb2.SessionsStatus(
        sessions=3, disk_bytes=7000, memory_sessions=2, from_rows=4, from_disk=1, resumed=2, unsaved_sessions=1
    )
    server.answer("Status", admin_pb2.StatusResponse(sessions=kept))
    shown = autoglmctl("status").stdout
    assert "3 sessions, 7 kB on disk; 2 in memory" in shown
    assert "5 requests went on from what was kept (4 from rows, 0 from memory, 1 from disk)" in shown
    assert "2 answers taken up again" in shown
    assert "unsaved: 1 session, for " in shown
    assert json.loads(autoglmctl("status", "--json").stdout)["sessions"]["resumed"] == 2


def test_the_shell_completes_sessions(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the daemon that the environment names; none if it does not answer, or refuses."""
    server.answer("ListSessions", sessions_pb2.ListSessionsResponse(sessions=[HOME]))
    monkeypatch.setenv("AUTOGLMD_SOCKET", str(server.path))
    assert completion.complete_session("h") == [("home", "2 turns")]
    assert completion.complete_session("x") == []
    server.forget()
    server.answer("ListSessions", refusal("UNIMPLEMENTED", "NOT_SUPPORTED"))
    assert completion.complete_session("h") == []
    monkeypatch.setenv("AUTOGLMD_SOCKET", str(tmp_path / "none"))
    assert completion.complete_session("h") == []
