"""A chat so far, as the REPL keeps it."""

import json
from pathlib import Path

Turn = dict[str, str]


class Conversation:
    """The system message and the turns. Mutable: owned by one REPL."""

    def __init__(self, system: str = "") -> None:
        self.system = system
        self._turns: list[Turn] = []

    @property
    def messages(self) -> list[Turn]:
        """What the next request sends."""
        head = [{"role": "system", "content": self.system}] if self.system else []
        return head + self._turns

    def ask(self, text: str) -> None:
        """Add the user's next turn."""
        self._turns.append({"role": "user", "content": text})

    def answer(self, text: str) -> None:
        """Add the model's turn."""
        self._turns.append({"role": "assistant", "content": text})

    def take_back(self) -> None:
        """Forget the last turn: it got no answer."""
        self._turns.pop()

    def clear(self) -> None:
        """Forget all turns; the system message stays."""
        self._turns.clear()

    def save(self, path: Path) -> None:
        """Write all messages: JSON where the name ends in .json, else Markdown. Raises OSError."""
        if path.suffix == ".json":
            text = json.dumps(self.messages, ensure_ascii=False, indent=2) + "\n"
        else:
            text = "\n\n".join(f"## {turn['role']}\n\n{turn['content']}" for turn in self.messages) + "\n"
        path.write_text(text, encoding="utf-8")
