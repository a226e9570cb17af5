"""What `generate` takes for a prompt."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from autoglmctl import exit_codes
from autoglmctl.app import build_app


def generate(socket: Path, *words: str) -> Result:
    """Ask a daemon that is not there."""
    return CliRunner().invoke(build_app(), ["--socket", str(socket), "generate", *words], input=" \n")


@pytest.mark.parametrize("words", [(" ",), ("\n\t",), ("-",), (" ", "--session", "home")])
def test_blanks_alone_are_no_question(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A script whose variable is empty would else have its session answer them."""
    done = generate(tmp_path / "none", *words)
    said = "Error: Say something: the prompt has nothing but blanks.\n"
    assert (done.exit_code, done.stderr) == (exit_codes.USAGE, said)


def test_blanks_are_a_text_to_continue(tmp_path: Path) -> None:
    """Whatever a model makes of them."""
    assert generate(tmp_path / "none", " ", "--raw").exit_code == exit_codes.NOT_REACHABLE
