"""The commands that stand in a chat's line after a slash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoglmctl.conversation import Conversation
    from autoglmctl.terminal import Terminal

HELP = """\
/help          this list
/clear         forget the conversation; the system message stays
/rewind        take back the last question and its answer
/fork NAME     keep what was said so far as another session, too
/system TEXT   set the system message; without TEXT, show it
/save FILE     write the conversation; JSON if FILE ends in .json, else Markdown.
               Replaces what this chat has saved, and no other file
/exit          leave, as Ctrl-D does
A line that ends in \\ goes on in the next; three double quotes begin and end a text of many lines.
A text that begins with // is sent with one slash. Ctrl-C stops an answer."""


class ChatCommands:
    """Runs them on one conversation.

    Attributes:
        done: whether /exit was said.
    """

    def __init__(self, conversation: Conversation, terminal: Terminal) -> None:
        self._conversation = conversation
        self._terminal = terminal
        self._known = {
            "/help": self._help,
            "/clear": self._clear,
            "/rewind": self._rewind,
            "/fork": self._fork,
            "/system": self._system,
            "/save": self._save,
            "/exit": self._exit,
            "/quit": self._exit,
        }
        self.done = False

    def run(self, line: str) -> None:
        """Run one line that begins with a slash."""
        name, _, rest = line.partition(" ")
        command = self._known.get(name.strip())
        if command is None:
            self._terminal.remark(f"There is no {name.strip()}; /help shows what there is.")
        else:
            command(rest.strip())

    def _help(self, _: str) -> None:
        self._terminal.remark(HELP)

    def _clear(self, _: str) -> None:
        self._try(self._conversation.clear, "The conversation begins anew.")

    def _rewind(self, _: str) -> None:
        if not self._conversation.has_turns:
            self._terminal.remark("There is nothing to take back.")
            return
        self._try(self._conversation.rewind, "The last question and its answer are taken back.")

    def _fork(self, name: str) -> None:
        if not name:
            self._terminal.remark("Name the other session: /fork NAME")
        elif not self._conversation.is_kept:
            self._terminal.remark("Only a session can be forked: `autoglmctl chat --session NAME` begins one.")
        else:
            said = f"What was said so far is in session {name}, too; this chat goes on in its own."
            self._try(lambda: self._conversation.fork(name), said)

    def _try(self, change: Callable[[], None], said: str) -> None:
        from openglm import OpenGLMError

        try:
            change()
        except OpenGLMError as error:
            self._terminal.remark(str(error))
        else:
            self._terminal.remark(said)

    def _system(self, text: str) -> None:
        if text and self._conversation.is_kept:
            self._terminal.remark("The session has begun with another one. /clear begins it anew.")
            return
        if text:
            self._conversation.system = text
        self._terminal.remark(f"System message: {self._conversation.system or 'none'}")

    def _save(self, name: str) -> None:
        if not name:
            self._terminal.remark("Name a file: /save FILE")
            return
        path = Path(name)
        try:
            path = path.expanduser()
            self._conversation.save(path)
        except FileExistsError:
            self._terminal.remark(f"{path} is there already, and not from this chat. Name another file.")
        except OSError as error:
            self._terminal.remark(f"{path} cannot be written: {error.strerror}.")
        except RuntimeError:
            # expanduser's, which has no class of its own.
            self._terminal.remark(f"{path} cannot be written: there is no user of that name.")
        else:
            self._terminal.remark(f"Saved to {path}.")

    def _exit(self, _: str) -> None:
        self.done = True
