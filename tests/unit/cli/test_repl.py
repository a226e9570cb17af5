"""What a chat does with what is typed."""

from typing import Any, cast

import pytest

from autoglmctl.chat import Repl
from autoglmctl.conversation import Conversation
from autoglmctl.failures import CommandError
from autoglmctl.invocation import Invocation
from autoglmctl.options import GlobalOptions
from tests.unit.cli.test_chat_in_session import Keeper, in_session

Typed = str | BaseException | None


class Keyboard:
    """What is typed at the prompt, then the end of input; and what is answered to a question."""

    def __init__(self, *typed: Typed, answered: Typed = None, on_terminal: bool = True) -> None:
        self.on_terminal = on_terminal
        self._typed = [*typed, None]
        self._answered = answered

    def read(self) -> str | None:
        """The next of them."""
        return _given(self._typed.pop(0))

    def answer(self, _: str) -> str | None:
        """To any question."""
        return _given(self._answered)


def _given(typed: Typed) -> str | None:
    if isinstance(typed, BaseException):
        raise typed
    return typed


def run(keyboard: Keyboard, conversation: Conversation) -> None:
    """Chat with nobody."""
    Repl(Invocation(GlobalOptions()), cast(Any, None), cast(Any, keyboard), conversation).run({}, stats=False)


def test_a_line_that_is_no_text_ends_no_conversation(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a person, who would lose it; a script is told by the exit code."""
    no_text = CommandError("That is no text.")
    run(Keyboard(no_text), Conversation())
    assert capsys.readouterr().err == "That is no text.\n"
    with pytest.raises(CommandError):
        run(Keyboard(no_text, on_terminal=False), Conversation())


@pytest.mark.parametrize(
    ("answered", "left"),
    [("y", 0), (" Yes ", 0), ("", 1), ("n", 1), ("/exit", 1), (None, 1), (KeyboardInterrupt(), 1)],
    ids=repr,
)
def test_only_a_yes_deletes_a_session(answered: Typed, left: int) -> None:
    """Ctrl-C and Ctrl-D are a no, as is all that is not understood; the chat goes on."""
    keeper = Keeper("one")
    keyboard = Keyboard("/clear", "/help", answered=answered)
    run(keyboard, in_session(keeper))
    assert len(keeper.turns) == left


def test_a_script_is_not_asked() -> None:
    """It has said what is to be done."""
    keeper = Keeper("one")
    run(Keyboard("/clear", on_terminal=False), in_session(keeper))
    assert keeper.turns == []
