"""The commands that stand in a chat's line after a slash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autoglmctl.quantities import counted
from autoglmctl.terminal import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoglmctl.conversation import Conversation
    from autoglmctl.terminal import Terminal

HELP = """\
/help          this list
/clear         forget the conversation; a session is deleted from the daemon.
               The system message stays
/rewind        take back the last question and its answer
/fork NAME     keep what was said so far as another session, too
/system TEXT   set the system message; without TEXT, show it
/save FILE     write the conversation; JSON if FILE ends in .json, else Markdown.
               Replaces what this chat has saved, and no other file
/exit          leave, as Ctrl-D does
A line that ends in \\ goes on in the next; three double quotes begin and end a text of many lines.
A text that begins with // is sent with one slash. Ctrl-C stops an answer."""

_QUOTED_CHARACTERS = 60


class ChatCommands:
    """Runs them on one conversation.

    Attributes:
        done: whether /exit was said.
    """

    def __init__(
        self, conversation: Conversation, terminal: Terminal, agrees: Callable[[str], bool] | None = None
    ) -> None:
        """`agrees` asks a person before what cannot be undone; `None` where there is no person, and all is agreed."""
        self._conversation = conversation
        self._terminal = terminal
        self._agrees = agrees
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
        self._try(self._cleared)

    def _cleared(self) -> str:
        name = self._conversation.session_id
        if not self._may_clear():
            return f"Session {name} stays as it is."
        if self._conversation.clear():
            return f"Session {name} is deleted; the conversation begins anew."
        return "The conversation begins anew."

    def _may_clear(self) -> bool:
        """Whether a person agrees, where there is one, and a session to lose. Raises OpenGLMError."""
        if self._agrees is None:
            return True
        # Another terminal may have told it further.
        turns = self._conversation.kept_turns()
        name = self._conversation.session_id
        return not turns or self._agrees(f"Delete session {name} with {counted(turns, 'turn')} from the daemon?")

    def _rewind(self, _: str) -> None:
        if not self._conversation.has_turns:
            self._terminal.remark("There is nothing to take back.")
            return
        self._try(self._rewound)

    def _rewound(self) -> str:
        question = _beginning(self._conversation.rewind())
        which = f'The question "{question}"' if question else "The last question"
        return f"{which} and its answer are taken back."

    def _fork(self, name: str) -> None:
        if not name:
            self._terminal.remark("Name the other session: /fork NAME")
        elif self._conversation.session_id is None:
            self._terminal.remark("Only a session can be forked: `autoglmctl chat --session NAME` begins one.")
        elif not self._conversation.has_turns:
            self._terminal.remark("There is nothing to fork yet.")
        else:
            self._try(lambda: self._forked(name))

    def _forked(self, name: str) -> str:
        self._conversation.fork(name)
        return f"What was said so far is in session {name}, too; this chat goes on in its own."

    def _try(self, change: Callable[[], str]) -> None:
        """Remark what the change says of itself, or why the daemon does not make it."""
        from openglm import OpenGLMError

        try:
            said = change()
        except OpenGLMError as error:
            said = str(error)
        self._terminal.remark(said)

    def _system(self, text: str) -> None:
        if text and self._conversation.is_kept:
            how = "with another one" if self._conversation.has_begun_with_system else "without one"
            self._terminal.remark(f"The session has begun {how}. /clear deletes it and begins anew.")
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


def _beginning(text: str) -> str:
    """The beginning of a text on one line, which is no command to a terminal."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= _QUOTED_CHARACTERS else f"{line[: _QUOTED_CHARACTERS - 1]}…"
