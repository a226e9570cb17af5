"""A chat so far, as the REPL keeps it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoglmctl.kept_session import KeptSession

Turn = dict[str, str]
# As the daemon calls who answers: in a chat, and of plain prompts.
_ANSWERERS = ("assistant", "completion")


class Conversation:
    """The system message and the turns. Mutable: owned by one REPL."""

    def __init__(self, system: str = "", kept: KeptSession | None = None) -> None:
        """Begin, or go on with what the daemon keeps.

        Args:
            system: the system message; empty for none.
            kept: where the daemon keeps it; `None` if it keeps nothing, and is sent all of it each time.

        Raises:
            OpenGLMError: the daemon does not tell what it keeps.
        """
        self.system = system
        self._kept = kept
        self._turns: list[Turn] = kept.told() if kept else []
        # Whether the session is to have the system message: one that had begun before has its own, or none.
        self._wants_system = not self._turns
        self._saved: set[Path] = set()

    @property
    def messages(self) -> list[Turn]:
        """All that was said."""
        # A session that has begun has the system message with which it began, or none.
        head = [{"role": "system", "content": self.system}] if self.system and not self.is_kept else []
        return head + self._turns

    @property
    def is_kept(self) -> bool:
        """Whether the daemon knows what was said."""
        return self._kept is not None and bool(self._turns)

    @property
    def session_id(self) -> str | None:
        """What the daemon's session is called, whether it has begun or not; `None` outside of sessions."""
        return self._kept.session_id if self._kept else None

    @property
    def has_begun_with_system(self) -> bool:
        """Whether a system message is among what a session says."""
        return any(turn["role"] == "system" for turn in self._turns)

    @property
    def has_turns(self) -> bool:
        """Whether anything was asked."""
        return bool(self._turns)

    def messages_with(self, question: str) -> list[Turn]:
        """What the next request sends. The question becomes a turn with its answer."""
        asked = _turn("user", question)
        if not self.is_kept:
            return [*self.messages, asked]
        system = _turn("system", self.system)
        # It is not there where the session has begun anew since, with a question that went alone.
        is_missing = self._wants_system and self.system and system not in self._turns
        return [system, asked] if is_missing else [asked]

    def add(self, question: str, answer: str, *, anew: bool = False) -> None:
        """Add what was sent and the model's turn. With `anew`, what came before is gone."""
        sent = [_turn("user", question)] if self._kept is None else self.messages_with(question)
        if anew:
            self._turns.clear()
        self._wants_system = self._wants_system or not self._turns
        self._turns += [*sent, _turn("assistant", answer)]

    def broke_off(self, question: str, answer: str) -> None:
        """The answer was stopped. What the daemon keeps of it counts; else what came is part of the conversation."""
        if self._kept is None:
            self.add(question, answer)
        else:
            self.failed()

    def failed(self) -> None:
        """No whole answer came, and only the daemon knows what it keeps of it."""
        if self._kept is not None:
            from openglm import OpenGLMError

            try:
                self._turns = self._kept.told()
            except OpenGLMError:
                # It will say so again at the next question.
                return

    def lost(self, messages: int) -> None:
        """The daemon has dropped so many of the oldest messages."""
        if self._kept is None:
            # It drops no system message, and there is none among these.
            del self._turns[:messages]
        else:
            self.failed()

    def rewind(self) -> str:
        """Take back the last question and its answer, and return the question; empty if one cannot tell.

        Raises:
            OpenGLMError: the daemon does not take it back.
        """
        if self._kept is None:
            before, self._turns = self._turns, self._turns[:-2]
        else:
            # Its last turn may be another terminal's.
            before = self._kept.told()
            self._kept.rewind()
            self._turns = self._kept.told()
        taken = before[len(self._turns) :]
        return next((turn["content"] for turn in reversed(taken) if turn["role"] not in _ANSWERERS), "")

    def fork(self, name: str) -> None:
        """Have the daemon keep it under another name, too. Raises OpenGLMError."""
        if self._kept is not None:
            self._kept.fork(name)

    def kept_turns(self) -> int:
        """How many turns the daemon keeps. Raises OpenGLMError where it does not tell."""
        return self._kept.turn_count() if self._kept else 0

    def clear(self) -> bool:
        """Forget all turns; the system message stays.

        Returns:
            whether the daemon has deleted a session.

        Raises:
            OpenGLMError: the daemon does not forget them.
        """
        deleted = self._kept is not None and self._kept.forget()
        self._turns.clear()
        return deleted

    def save(self, path: Path) -> None:
        """Write all messages: JSON where the name ends in .json, else Markdown. Only its own files are replaced.

        Raises:
            FileExistsError: something is there that this conversation did not write.
            OSError: it cannot be written.
        """
        from openglm._private_file import PrivateFile

        data = self._as_json() if path.suffix == ".json" else self._as_markdown()
        place = path.absolute()
        if place in self._saved:
            # The earlier one stays whole until this one is.
            with PrivateFile(place) as file:
                file.write(data)
                file.keep()
            return
        # As PrivateFile: what somebody asked a model is nobody else's business.
        with os.fdopen(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as first:
            self._saved.add(place)
            first.write(data)

    def _as_json(self) -> bytes:
        return (json.dumps(self.messages, ensure_ascii=False, indent=2) + "\n").encode(errors="replace")

    def _as_markdown(self) -> bytes:
        said = (f"## {turn['role']}\n\n{turn['content']}" for turn in self.messages)
        return ("\n\n".join(said) + "\n").encode(errors="replace")


def _turn(role: str, content: str) -> Turn:
    return {"role": role, "content": content}
