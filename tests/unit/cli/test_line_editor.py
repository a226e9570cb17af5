"""What a text is, of the lines that come in."""

import io
from pathlib import Path

import pytest

from autoglmctl.failures import CommandError
from autoglmctl.line_editor import LineEditor, history_path


def texts(monkeypatch: pytest.MonkeyPatch, lines: str) -> list[str]:
    """All texts of an input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    with LineEditor(Path("/nowhere")) as editor:
        return list(iter(editor.read, None))


def test_a_line_is_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one needs no line end."""
    assert texts(monkeypatch, "one\n\ntwo") == ["one", "", "two"]


def test_a_backslash_joins_the_next_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a shell, but the line break stays."""
    assert texts(monkeypatch, "one\\\ntwo\\\nthree\nfour\n") == ["one\ntwo\nthree", "four"]


def test_a_fence_takes_lines_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is closed, backslashes and empty lines included."""
    assert texts(monkeypatch, '"""\na\\\n\nb\n"""\n"""c"""\n') == ["a\\\n\nb", "c"]


def test_an_open_fence_at_the_end_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not finished is not sent."""
    assert texts(monkeypatch, 'one\n"""\ntwo\n') == ["one"]


def test_the_history_is_where_xdg_says() -> None:
    """State, not configuration."""
    assert history_path({"XDG_STATE_HOME": "/s"}) == Path("/s/autoglmctl/history")
    assert history_path({"HOME": "/h"}) == Path("/h/.local/state/autoglmctl/history")


def test_what_is_no_text_is_one_line_of_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with generate."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n"), encoding="utf-8"))
    with (
        LineEditor(Path("/nowhere")) as editor,
        pytest.raises(CommandError, match="not UTF-8 text: it has the byte 0xff"),
    ):
        editor.read()
