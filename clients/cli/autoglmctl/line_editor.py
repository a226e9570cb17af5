"""Reads what a person types: with editing and a history on a terminal, plain lines from a pipe."""

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from autoglmctl import exit_codes
from autoglmctl.failures import CommandError

HISTORY_LINES = 1000
FENCE = '"""'


def history_path(environ: Mapping[str, str]) -> Path:
    """The history file, as the XDG base directory specification places state."""
    state = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "/"), ".local", "state"))
    return Path(state, "autoglmctl", "history")


class LineEditor:
    """One conversation's input. A text ends at its line's end, unless the line ends in a backslash or opens a fence.

    Use as a context manager: the history is read at the begin and written at the end.

    Attributes:
        on_terminal: whether a person types.
    """

    def __init__(self, history: Path) -> None:
        self._history = history
        self.on_terminal = sys.stdin.isatty() and sys.stdout.isatty()

    def __enter__(self) -> Self:
        if self.on_terminal:
            import readline

            with contextlib.suppress(OSError):
                readline.read_history_file(self._history)
            readline.set_history_length(HISTORY_LINES)
        return self

    def __exit__(self, *_: object) -> None:
        if self.on_terminal:
            with contextlib.suppress(OSError):
                self._write_history()

    def read(self) -> str | None:
        """The next text; `None` at the end of input.

        Raises:
            CommandError: what comes is no text.
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        try:
            return self._text()
        except EOFError:
            return None
        except UnicodeDecodeError as error:
            message = f"Standard input is not UTF-8 text: it has the byte {error.object[error.start]:#04x}."
            raise CommandError(message, exit_codes.USAGE) from error

    def answer(self, question: str) -> str | None:
        """What a person answers to a question, on one line that is kept in no history; `None` at the end of input.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        import readline

        readline.set_auto_history(False)
        try:
            return input(question)
        except (EOFError, UnicodeDecodeError):
            return None
        finally:
            readline.set_auto_history(True)

    def _text(self) -> str:
        line = self._line("> ")
        if line.lstrip().startswith(FENCE):
            return self._fenced(line.lstrip().removeprefix(FENCE))
        lines = [line]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(self._line(". "))
        return "\n".join(lines)

    def _fenced(self, line: str) -> str:
        lines = []
        while not line.rstrip().endswith(FENCE):
            lines.append(line)
            line = self._line(". ")
        lines.append(line.rstrip().removesuffix(FENCE))
        return "\n".join(lines).strip("\n")

    def _line(self, prompt: str) -> str:
        if self.on_terminal:
            return input(prompt)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")

    def _write_history(self) -> None:
        import readline

        self._history.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # What somebody asked a model is nobody else's business.
        os.close(os.open(self._history, os.O_CREAT | os.O_WRONLY, 0o600))
        readline.write_history_file(self._history)
