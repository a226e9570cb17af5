"""From errors to exit codes and lines."""

import json
from pathlib import Path

import pytest
import typer

import openglm
from autoglmctl import exit_codes
from autoglmctl.failures import CommandError, exit_code_of, render, reported
from autoglmd.errors.model import ModelMissingError
from autoglmd.errors.request import InvalidArgumentError, ModelNotFoundError
from openglm._details import ErrorDetails

FULL = openglm.QueueFullError("full", ErrorDetails(retry_after=1.0))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("x"), exit_codes.ERROR),
        (CommandError("x", exit_codes.USAGE), exit_codes.USAGE),
        (openglm.DaemonNotRunningError("x"), exit_codes.NOT_REACHABLE),
        (openglm.AccessDeniedError("x"), exit_codes.NOT_REACHABLE),
        (FULL, exit_codes.RETRY_LATER),
        (openglm.DrainingError("x"), exit_codes.RETRY_LATER),
        (openglm.InvalidArgumentError("x"), exit_codes.USAGE),
        (openglm.ModelNotFoundError("x"), exit_codes.USAGE),
        (openglm.PromptTooLongError("x"), exit_codes.USAGE),
        (openglm.NotSupportedError("x"), exit_codes.USAGE),
        (openglm.MessageTooLargeError("x"), exit_codes.USAGE),
        (openglm.RequestIdInUseError("x"), exit_codes.USAGE),
        (openglm.DeadlineExceededError("x"), exit_codes.ERROR),
        (InvalidArgumentError("field", "x"), exit_codes.USAGE),
        (ModelNotFoundError("x", ()), exit_codes.USAGE),
        (ModelMissingError("x"), exit_codes.ERROR),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_error_has_its_exit_code(error: Exception, code: int) -> None:
    """Those of the client, of the daemon's rooms that run here, and our own."""
    with pytest.raises(typer.Exit) as caught, reported(as_json=False):
        raise error
    assert caught.value.exit_code == code == exit_code_of(error)


def test_ctrl_c_is_130_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    """Who pressed it knows."""
    with pytest.raises(typer.Exit) as caught, reported(as_json=False):
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == ""


def test_a_bug_is_not_hidden() -> None:
    """Only errors raised on purpose become lines."""
    with pytest.raises(ZeroDivisionError), reported(as_json=False):
        raise ZeroDivisionError


def test_the_remedy_has_a_line_of_its_own() -> None:
    """What happened, then what to do."""
    error = openglm.DaemonNotRunningError("Nobody.", remedy="Start it.")
    assert render(error, as_json=False) == "Error: Nobody.\nStart it."


def test_a_json_error_has_everything_a_program_needs() -> None:
    """Code, message, remedy, wait and exit code."""
    assert json.loads(render(FULL, as_json=True)) == {
        "error": {
            "code": "QUEUE_FULL",
            "message": "full",
            "remedy": "",
            "retry_after_seconds": 1.0,
            "exit_code": 4,
        }
    }


def test_the_exit_codes_are_documented() -> None:
    """In the manual page, and in the help."""
    from autoglmctl.app import EXIT_CODES
    from autoglmctl.manpage import EXIT_STATUS

    codes = {str(value) for name, value in vars(exit_codes).items() if name.isupper()}
    assert {code for code, _ in EXIT_STATUS} == codes
    assert all(code in EXIT_CODES for code in codes - {"141"})
    page = Path(__file__).parents[3] / "docs" / "clients.md"
    assert all(f"| {code} |" in page.read_text(encoding="utf-8") for code in codes)
