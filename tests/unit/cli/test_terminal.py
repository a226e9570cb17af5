"""What is written where."""

import io
import json

import pytest
import typer

from autoglmctl.failures import CommandError, reported
from autoglmctl.step_bars import StepBars
from autoglmctl.terminal import Terminal, fitted


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """True: that is its point."""
        return True


def test_json_for_a_pipe_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Line-oriented tools can read it."""
    Terminal().print_json({"a": ["你"]})
    assert capsys.readouterr().out == '{"a": ["你"]}\n'


def test_json_for_a_screen_is_indented(monkeypatch: pytest.MonkeyPatch) -> None:
    """People can read it."""
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    Terminal().print_json({"a": 1})
    assert screen.getvalue() == '{\n  "a": 1\n}\n'
    assert json.loads(screen.getvalue()) == {"a": 1}


def test_tables_are_not_cut_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a screen there is no width to fit into."""
    from rich.table import Table

    table = Table("x" * 120)
    Terminal().print(table)
    assert "x" * 120 in capsys.readouterr().out


def test_a_text_is_broken_on_a_screen_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is searched and copied in a pipe is what was said, however narrow the terminal is."""
    from rich.text import Text

    monkeypatch.setenv("COLUMNS", "20")
    said = "\tsomething to be copied as it is "
    Terminal().print(Text(said, "bold"), said)
    assert capsys.readouterr().out == f"{said}\n" * 2
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    Terminal().print(Text(said))
    assert len(screen.getvalue().splitlines()) > 1


def test_a_remark_is_dim_on_a_screen_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """And never with NO_COLOR."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    Terminal().remark("a")
    monkeypatch.setenv("NO_COLOR", "1")
    Terminal().remark("b")
    assert screen.getvalue() == "\x1b[2ma\x1b[0m\nb\n"


def test_a_wait_is_told_once_until_more_has_come(capsys: pytest.CaptureFixture[str]) -> None:
    """A second pause of one answer is as unexplained as the first was."""
    terminal = Terminal()
    for reason in ("lost", "lost", "loading", "lost"):
        terminal.remark_wait(reason)
    assert capsys.readouterr().err == "lost\nloading\nlost\n"
    terminal.write("word")
    terminal.remark_wait("lost")
    assert capsys.readouterr().err == "lost\n"


def test_steps_are_lines_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    """A log of a long build says where it was, once per step."""
    with StepBars(Terminal()) as bars:
        bars.show("export", 0.0)
        bars.show("export", 0.5)
        bars.show("quantize", None)
    assert capsys.readouterr().err == "export ...\nquantize ...\n"


def test_steps_are_bars_on_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step's share is shown, and is full at the end."""
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    with StepBars(Terminal()) as bars:
        bars.show("export", 0.5)
    assert "export" in screen.getvalue()
    assert "100%" in screen.getvalue()


def test_what_we_say_is_broken_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a screen; a pipe gets the line as it is, and a path is never broken."""
    monkeypatch.setenv("COLUMNS", "20")
    text = "There is nothing at /a/long/path/of/a/model.\n  /help   shows it"
    broken = "There is nothing at\n/a/long/path/of/a/model.\n  /help   shows it"
    assert (fitted(text, Screen()), fitted(text, io.StringIO())) == (broken, text)


def test_errors_are_broken_between_words_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON they are not: that is for programs."""
    monkeypatch.setenv("COLUMNS", "20")
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    for as_json in (False, True):
        with pytest.raises(typer.Exit), reported(as_json=as_json):
            raise CommandError("something is not as it should be")
    first, second, last = screen.getvalue().splitlines()
    assert (first, second) == ("Error: something is", "not as it should be")
    assert json.loads(last)["error"]["message"] == "something is not as it should be"
