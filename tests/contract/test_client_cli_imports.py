"""autoglmctl session import as a process: pipes that go on, and Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_client_session_files import EXISTS
from tests.support.scripted_server import LIMIT_SECONDS, Hang, ScriptedServer


class Porter(ScriptedServer):
    """Answers an ImportSession call as soon as its first message has come."""

    def ImportSession(self, requests: Iterator[Any], context: Any) -> Any:  # noqa: N802 - gRPC's name
        """Give the queued answer."""
        return self._unary("ImportSession", next(requests), context)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Porter]:
    """A scripted daemon that runs during the test."""
    with Porter(tmp_path / "s") as server:
        yield server


def start(server: Porter, *words: str) -> subprocess.Popen[bytes]:
    """Begin an import; its standard input is a pipe that stays open."""
    line = [sys.executable, "-m", "autoglmctl", "--socket", str(server.path), "session", "import", *words]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """Its exit code, and what it said, while its standard input is open still."""
    try:
        return process.wait(LIMIT_SECONDS), process.stderr.read() if process.stderr else b""
    finally:
        process.kill()


def test_an_import_that_is_refused_waits_for_no_more_of_a_pipe(server: Porter) -> None:
    """Who writes into it may take for ever; the refusal is the last word."""
    server.answer("ImportSession", EXISTS)
    with start(server, "-", "home") as process:
        assert process.stdin is not None
        process.stdin.write(b"abc")
        process.stdin.flush()
        assert ended(process) == (2, b"Error: Session exists.\n")


def test_an_import_from_a_named_pipe_does_not_wait_either(server: Porter, tmp_path: Path) -> None:
    """As with <(zstd -dc home.session.zst)."""
    server.answer("ImportSession", EXISTS)
    os.mkfifo(tmp_path / "pipe")
    with start(server, str(tmp_path / "pipe"), "home") as process:
        writer = os.open(tmp_path / "pipe", os.O_RDWR)
        try:
            os.write(writer, b"abc")
            assert ended(process) == (2, b"Error: Session exists.\n")
        finally:
            os.close(writer)


def test_ctrl_c_ends_an_import(server: Porter) -> None:
    """The call, too, and at once."""
    server.answer("ImportSession", Hang())
    with start(server, "-", "home") as process:
        assert process.stdin is not None
        process.stdin.write(b"abc")
        process.stdin.flush()
        assert server.asked.wait(LIMIT_SECONDS)
        process.send_signal(signal.SIGINT)
        assert ended(process) == (130, b"")
    assert server.gone.wait(LIMIT_SECONDS)


def test_what_standard_input_refuses_is_said_of_it(server: Porter) -> None:
    """Not of standard output, nor with a traceback."""
    line = [sys.executable, "-m", "autoglmctl", "--socket", str(server.path), "session", "import", "-", "home"]
    with Path(os.devnull).open("wb") as unreadable:
        done = subprocess.run(line, stdin=unreadable, capture_output=True, check=False, timeout=LIMIT_SECONDS)
    assert (done.returncode, done.stderr) == (1, b"Error: Standard input cannot be read: Bad file descriptor.\n")
