"""What a chat does with what is typed."""

from typing import Any, cast

import pytest

from autoglmctl.chat import Repl
from autoglmctl.conversation import Conversation
from autoglmctl.failures import CommandError
from autoglmctl.invocation import Invocation
from autoglmctl.options import GlobalOptions


class Keyboard:
    """Something that is no text, then the end of input."""

    def __init__(self, *, on_terminal: bool) -> None:
        self.on_terminal = on_terminal
        self._typed: list[str | Exception | None] = [CommandError("That is no text."), None]

    def read(self) -> str | None:
        """The next of them."""
        typed = self._typed.pop(0)
        if isinstance(typed, Exception):
            raise typed
        return typed


def run(keyboard: Keyboard) -> None:
    """Chat with nobody."""
    Repl(Invocation(GlobalOptions()), cast(Any, None), cast(Any, keyboard), Conversation()).run({}, stats=False)


def test_a_line_that_is_no_text_ends_no_conversation(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a person, who would lose it; a script is told by the exit code."""
    run(Keyboard(on_terminal=True))
    assert capsys.readouterr().err == "That is no text.\n"
    with pytest.raises(CommandError):
        run(Keyboard(on_terminal=False))
