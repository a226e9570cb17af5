"""What is written where: answers and tables to stdout, progress and remarks to stderr."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

# In a file or a pipe there is no width to fit into, and a cut table is of no use.
PIPE_COLUMNS = 200
# A model may say anything; on a screen, control characters would be commands to the terminal.
_CONTROL = {code: "�" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def visible(text: str) -> str:
    """What a model said, without the characters that would be commands to a terminal."""
    return text.translate(_CONTROL)


class Terminal:
    """The two output streams of this process. rich is imported when something needs it."""

    def __init__(self) -> None:
        self._line_is_open = False
        self._waits_for = ""

    def write(self, text: str) -> None:
        """Write a piece of an answer, at once; on a screen without control characters."""
        self._line_is_open = not text.endswith("\n")
        self._waits_for = ""
        sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()

    def print(self, *renderables: Any) -> None:
        """Write tables and text to stdout. In a pipe, the lines of a text are as long as they are."""
        from rich.text import Text

        console = _console(sys.stdout)
        for each in renderables:
            if isinstance(each, str | Text) and not sys.stdout.isatty():
                self.write_line(str(each))
            else:
                console.print(each)

    def print_json(self, value: Any) -> None:
        """Write one JSON document, on one line in a pipe, indented on a screen."""
        indent = 2 if sys.stdout.isatty() else None
        self.write_line(json.dumps(value, ensure_ascii=False, indent=indent, default=_plain))

    def print_json_line(self, value: Any) -> None:
        """Write one JSON document on one line, at once."""
        self.write_line(json.dumps(value, ensure_ascii=False, default=_plain))

    def write_line(self, line: str) -> None:
        """Write a line as it stands, at once."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def remark(self, text: str) -> None:
        """Write a line for people to stderr, dimmed on a screen."""
        screen = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        text = fitted(text, sys.stderr)
        if self._line_is_open and sys.stdout.isatty() and sys.stderr.isatty():
            # Both are one screen, and an answer stands in the middle of a line.
            self._line_is_open = False
            write_to_stderr("\n")
        write_to_stderr(f"\x1b[2m{text}\x1b[0m\n" if screen else f"{text}\n")

    def remark_wait(self, reason: str) -> None:
        """Remark why nothing comes; once until more of an answer has come, or there is another reason."""
        if reason != self._waits_for:
            self._waits_for = reason
            self.remark(reason)

    @property
    def shows_progress(self) -> bool:
        """Whether anybody would see a progress bar."""
        return sys.stderr.isatty()

    def progress(self, *, transient: bool = True) -> Progress:
        """A progress display on stderr; to be used as a context manager."""
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
        )
        return Progress(*columns, console=_console(sys.stderr), transient=transient)


def write_to_stderr(text: str) -> None:
    """Write at once. Where nobody can be told anything, the exit code still says how it went."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        forget(sys.stderr)


def forget(stream: TextIO) -> None:
    """Let the interpreter's last flush go nowhere, instead of failing once more."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def is_closed(stream: TextIO) -> bool:
    """Whether the caller has closed it: then `main` has put the null device in its place, by its name."""
    return getattr(stream, "name", "") == os.devnull


def fitted(text: str, stream: TextIO) -> str:
    """What we say ourselves, broken between words where the stream is a screen; a terminal would break inside them."""
    if not stream.isatty():
        return text
    columns = shutil.get_terminal_size().columns
    wrapper = textwrap.TextWrapper(columns, replace_whitespace=False, break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrapper.fill(line) for line in text.split("\n"))


def _console(stream: Any) -> Console:
    from rich.console import Console

    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS
    # Names are shown as they are, in a table's title, too: brackets and colons in them are no markup.
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
