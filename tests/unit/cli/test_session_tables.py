"""What `session list` and `session show` show, of names that anybody may have given."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from autoglmctl.session_tables import session_overview, session_page
from autoglmctl.terminal import Terminal
from openglm import Message, Session, SessionInfo

NOW = datetime.now(UTC)
ODD = ("a[/b]", "notes[a]", "user:house:1")


def session(name: str) -> SessionInfo:
    """One of that name."""
    return SessionInfo(name, "glm-small", NOW, NOW, NOW, turns=1, tokens=2, disk_bytes=3, cached_tokens=2)


@pytest.mark.parametrize("name", ODD)
def test_a_name_is_shown_as_it_is_typed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets and colons are no markup; a name that is shown otherwise cannot be typed back."""
    info = session(name)
    Terminal().print(session_overview([info]))
    Terminal().print(*session_page(Session(info, ())))
    assert capsys.readouterr().out.count(name) == 2


def test_a_role_is_no_command_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that was imported may name any."""
    Terminal().print(*session_page(Session(session("home"), (Message("\x1b]0;x\x07user", "hello"),))))
    shown = capsys.readouterr().out
    assert "user: hello" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("unfinished", [False, True])
def test_an_answer_that_broke_off_is_told_with_what_takes_it_up(
    capsys: pytest.CaptureFixture[str], unfinished: bool
) -> None:
    """Nobody else would say so before the next question gives it up."""
    Terminal().print(*session_page(Session(replace(session("home"), unfinished=unfinished), ())))
    assert ("autoglmctl session resume home" in capsys.readouterr().out) == unfinished
