"""autoglmctl where its standard streams are closed or full: one line, or none, and the exit code all the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scripted_command import server
from tests.support.scripted_server import ScriptedServer, answer, refusal

__all__ = ["server"]

FULL = Path("/dev/full")


def run(server: ScriptedServer, redirection: str, *words: str) -> subprocess.CompletedProcess[str]:
    """One command, with a shell's redirection behind it."""
    line = [sys.executable, "-m", "autoglmctl", "--socket", str(server.path), *words]
    shell = ["bash", "-c", f'"$@" {redirection}', "bash", *line]
    return subprocess.run(shell, capture_output=True, text=True, check=False, timeout=60, env={**os.environ})


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_the_exit_code_is_right_where_nobody_can_be_told(server: ScriptedServer, redirection: str) -> None:
    """Scripts rely on it."""
    server.play([refusal("NOT_FOUND", "MODEL_NOT_FOUND")])
    done = run(server, redirection, "generate", "x", "--model", "none")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [("generate", "x"), ("generate", "x", "--json")])
def test_a_full_standard_output_is_one_line_of_error(server: ScriptedServer, words: tuple[str, ...]) -> None:
    """An answer that could not be written is no success, and no traceback."""
    server.play(answer("hello"))
    done = run(server, "> /dev/full", *words)
    assert done.returncode == 1
    assert "Standard output cannot be written: No space left on device." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("redirection", "words"), [(">&-", ("generate", "x")), ("<&-", ("generate", "-"))])
def test_closed_streams_give_no_traceback(server: ScriptedServer, redirection: str, words: tuple[str, ...]) -> None:
    """Nobody reads the answer, or there is no prompt."""
    server.play(answer("hello"))
    done = run(server, redirection, *words)
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if words[1] == "-" else 0)
