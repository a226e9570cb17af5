"""autoglmctl as a process: signals, pipes and terminals, which a function call has none of."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openglm.v1 import inference_pb2, models_pb2, sessions_pb2
from tests.support.scripted_server import (
    LIMIT_SECONDS,
    Hang,
    ScriptedServer,
    answer,
    finished,
    prefill,
    refusal,
    started,
    token,
)

AUTOGLMCTL = (sys.executable, "-m", "autoglmctl")
AGAIN_SECONDS = 0.5
MODEL = models_pb2.GetModelResponse(model=models_pb2.Model(name="glm-small", version="abc"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    """A scripted daemon that runs during the test."""
    with ScriptedServer(tmp_path / "s") as server:
        yield server


class Screen:
    """A command on a pseudo-terminal. `seen` is all that it has written."""

    def __init__(self, *words: str, home: Path) -> None:
        self._main, worker = pty.openpty()
        environ = os.environ | {"XDG_STATE_HOME": str(home), "TERM": "xterm", "INPUTRC": "/dev/null"}
        self.process = subprocess.Popen(
            [*AUTOGLMCTL, *words], stdin=worker, stdout=worker, stderr=worker, env=environ, start_new_session=True
        )
        os.close(worker)
        self.seen = ""

    def until(self, text: str) -> str:
        """Read until `text` has been written; returns all that was."""
        while text not in self.seen:
            self._read()
        return self.seen

    def until_prompt(self, after: str) -> None:
        """Read until the chat asks for input after `after`; keys pressed earlier would be lost."""
        while not re.search(re.escape(after) + r"[^>]*> ", self.seen):
            self._read()

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._main, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C, as the terminal would deliver it."""
        self.process.send_signal(signal.SIGINT)

    def interrupt_until(self, text: str) -> None:
        """Ctrl-C until `text` comes: what is pressed before readline waits for keys, it heeds with the next one."""
        while text not in self.seen:
            self.interrupt()
            if select.select([self._main], [], [], AGAIN_SECONDS)[0]:
                self._read()

    def wait(self) -> int:
        """Wait for the end; returns the exit code."""
        return self.process.wait(LIMIT_SECONDS)

    def _read(self) -> None:
        if not select.select([self._main], [], [], LIMIT_SECONDS)[0]:
            raise AssertionError(f"nothing comes any more after {self.seen!r}")
        try:
            self.seen += os.read(self._main, 4096).decode(errors="replace")
        except OSError as error:
            # What a terminal says when nobody holds its other end.
            raise AssertionError(f"it ended with {self.wait()} after {self.seen!r}") from error

    def close(self) -> None:
        """End it, if a test has failed before its end."""
        self.process.kill()
        self.process.wait()
        os.close(self._main)


Start = Callable[..., Screen]


@pytest.fixture
def on_screen(tmp_path: Path) -> Iterator[Start]:
    """Starts autoglmctl on a pseudo-terminal of its own, and never leaves one behind."""
    screens: list[Screen] = []

    def start(*words: str) -> Screen:
        screens.append(Screen(*words, home=tmp_path))
        return screens[-1]

    yield start
    for screen in screens:
        screen.close()


def test_ctrl_c_cancels_the_generation_and_exits_130(server: ScriptedServer, on_screen: Start) -> None:
    """The daemon stops computing, the shell's prompt begins a line of its own, and there is no traceback."""
    server.play([started(), token("half", 1), Hang()])
    screen = on_screen("generate", "x", "--socket", str(server.path))
    screen.until("half")
    screen.interrupt()
    assert server.gone.wait(LIMIT_SECONDS)
    screen.until("half\r\n")
    screen.until("(stopped)")
    assert screen.wait() == 130
    assert "Traceback" not in screen.seen


def test_a_reader_that_leaves_ends_the_command_quietly(server: ScriptedServer) -> None:
    """As with `autoglmctl generate ... | head`: no message, the exit code of SIGPIPE, the generation cancelled."""
    server.play([started(), *[token("word " * 100, 1)] * 1000, finished()])
    process = subprocess.Popen(
        [*AUTOGLMCTL, "generate", "x", "--socket", str(server.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(LIMIT_SECONDS) == 141
    assert server.gone.wait(LIMIT_SECONDS)


def test_a_sessions_file_goes_to_no_terminal_and_to_no_closed_output(server: ScriptedServer, on_screen: Start) -> None:
    """Bytes would be commands to the one, and are lost in the other; nobody is asked for them."""
    words = ("session", "export", "home", "-", "--socket", str(server.path))
    screen = on_screen(*words)
    screen.until("not for a terminal")
    assert screen.wait() == 2
    closed = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *AUTOGLMCTL, *words], capture_output=True, check=False)
    assert (closed.returncode, b"output is closed" in closed.stderr) == (2, True)
    assert server.requests == []


def test_a_long_prompt_shows_a_bar_that_goes_away(server: ScriptedServer, on_screen: Start) -> None:
    """On a terminal the prefill's progress is seen while it lasts."""
    server.play([started(), prefill(512, 2048), token("done", 1), finished()])
    screen = on_screen("generate", "x", "--socket", str(server.path))
    screen.until("done\r\n")
    assert screen.wait() == 0
    assert "512/2048 tokens" in screen.seen
    # Erase the bar's line, then the answer.
    assert screen.seen.rindex("\x1b[2K") < screen.seen.index("done")


def test_control_characters_do_not_reach_the_terminal(server: ScriptedServer, on_screen: Start) -> None:
    """A model's words are no commands to the screen; a pipe gets them as they are."""
    server.play(answer("a\x1b[2Jb"), answer("a\x1b[2Jb"))
    screen = on_screen("generate", "x", "--socket", str(server.path))
    screen.until("b\r\n")
    assert screen.wait() == 0
    assert "a�[2Jb" in screen.seen
    words = [*AUTOGLMCTL, "generate", "x", "--socket", str(server.path)]
    assert subprocess.run(words, capture_output=True, check=True).stdout == b"a\x1b[2Jb\n"


def test_chat_on_a_terminal_stops_an_answer_and_goes_on(
    server: ScriptedServer, on_screen: Start, tmp_path: Path
) -> None:
    """Ctrl-C ends the answer, not the conversation; Ctrl-D ends that, and the history is kept for its owner."""
    server.answer("GetModel", MODEL)
    server.play([started(), token("half", 1), Hang()], answer("whole"))
    screen = on_screen("chat", "--socket", str(server.path))
    screen.until_prompt("/help shows the commands")
    screen.type("one\n")
    screen.until("half")
    screen.interrupt()
    screen.until_prompt("(stopped)")
    screen.type("two\n")
    screen.until_prompt("whole")
    screen.type("\x04")
    assert screen.wait() == 0
    assert [turn.content for turn in server.requests[2].chat.messages] == ["one", "half", "two"]
    history = tmp_path / "autoglmctl" / "history"
    assert history.read_text().splitlines()[-2:] == ["one", "two"]
    assert history.stat().st_mode & 0o777 == 0o600


def test_chat_says_how_to_begin_anew_where_the_conversation_is_too_long(
    server: ScriptedServer, on_screen: Start
) -> None:
    """A question of two letters cannot be shortened."""
    server.answer("GetModel", MODEL)
    server.play(answer("whole"), [refusal("OUT_OF_RANGE", "PROMPT_TOO_LONG", prompt_tokens=4101, counted=True)])
    screen = on_screen("chat", "--socket", str(server.path))
    screen.until_prompt("Ctrl-D leaves")
    screen.type("one\n")
    screen.until_prompt("whole")
    screen.type("hi\n")
    screen.until_prompt("/clear begins it anew")
    screen.type("\x04")
    assert screen.wait() == 0


def test_chat_asks_before_it_deletes_a_session(server: ScriptedServer, on_screen: Start, tmp_path: Path) -> None:
    """Ctrl-C is a no, and keeps the chat; the answer is none of the history's lines."""
    said = [inference_pb2.Message(role="user", content="one")]
    kept = sessions_pb2.GetSessionResponse(session=sessions_pb2.Session(session_id="home", turns=3), messages=said)
    server.answer("GetModel", MODEL)
    server.answer("GetSession", kept)
    server.answer("DeleteSession", sessions_pb2.DeleteSessionResponse())
    screen = on_screen("chat", "--session", "home", "--socket", str(server.path))
    screen.until_prompt("goes on")
    screen.type("/clear\n")
    screen.until("Delete session home with 3 turns from the daemon? [y/N] ")
    screen.interrupt_until("Session home stays as it is.")
    screen.until_prompt("Session home stays as it is.")
    screen.seen = ""
    screen.type("/clear\n")
    screen.until("[y/N] ")
    screen.type("y\n")
    screen.until_prompt("Session home is deleted; the conversation begins anew.")
    screen.type("\x04")
    assert screen.wait() == 0
    assert [type(request).__name__ for request in server.requests].count("DeleteSessionRequest") == 1
    assert (tmp_path / "autoglmctl" / "history").read_text().splitlines() == ["/clear"]


def test_chat_says_at_once_that_no_daemon_runs(on_screen: Start, tmp_path: Path) -> None:
    """Not only after the first question has been typed."""
    screen = on_screen("chat", "--socket", str(tmp_path / "none"))
    screen.until("No daemon answers")
    assert screen.wait() == 3


def test_help_and_version_import_neither_grpc_nor_a_runtime() -> None:
    """What is asked at every Tab and every typo must not wait for them."""
    code = (
        "import sys\n"
        "from autoglmctl.app import build_app\n"
        "build_app()(['--help'], standalone_mode=False)\n"
        "heavy = [m for m in ('grpc', 'openglm', 'onnxruntime', 'numpy', 'torch', 'asyncio') if m in sys.modules]\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_the_packages() -> None:
    """One number for the daemon, the client and the command."""
    from importlib.metadata import version

    done = subprocess.run([*AUTOGLMCTL, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"autoglmctl {version('autoglmd')}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_completion_script(shell: str) -> None:
    """Typer makes it; distributions install it."""
    environ = os.environ | {"_AUTOGLMCTL_COMPLETE": f"source_{shell}"}
    done = subprocess.run(AUTOGLMCTL, env=environ, capture_output=True, text=True, check=True)
    assert "_AUTOGLMCTL_COMPLETE" in done.stdout


def test_the_shell_completes_commands_and_models(server: ScriptedServer) -> None:
    """Commands from the tree, models from the daemon that the environment names."""
    models = models_pb2.ListModelsResponse(models=[models_pb2.Model(name="glm-small"), models_pb2.Model(name="other")])
    server.answer("ListModels", models)
    assert _complete("autoglmctl gen", server.path) == ["generate"]
    assert _complete("autoglmctl generate --model g", server.path) == ["glm-small"]
    assert _complete("autoglmctl generate --model g", server.path.with_name("none")) == []


def _complete(line: str, socket: Path) -> list[str]:
    words = line.split()
    environ = os.environ | {
        "_AUTOGLMCTL_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "AUTOGLMD_SOCKET": str(socket),
    }
    done = subprocess.run(AUTOGLMCTL, env=environ, capture_output=True, text=True, check=False)
    return done.stdout.split()
