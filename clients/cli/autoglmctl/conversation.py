"""A chat so far, as the REPL keeps it."""

import json
from pathlib import Path

Turn = dict[str, str]


class Conversation:
    """The system message and the turns. Mutable: owned by one REPL."""

    def __init__(self, system: str = "") -> None:
        self.system = system
        self._turns: list[Turn] = []
        self._saved: set[Path] = set()

    @property
    def messages(self) -> list[Turn]:
        """All that was said."""
        head = [{"role": "system", "content": self.system}] if self.system else []
        return head + self._turns

    def messages_with(self, question: str) -> list[Turn]:
        """What the next request sends. The question becomes a turn with its answer."""
        return [*self.messages, _turn("user", question)]

    def add(self, question: str, answer: str) -> None:
        """Add the user's turn and the model's."""
        self._turns += _turn("user", question), _turn("assistant", answer)

    def clear(self) -> None:
        """Forget all turns; the system message stays."""
        self._turns.clear()

    def save(self, path: Path) -> None:
        """Write all messages: JSON where the name ends in .json, else Markdown. Only its own files are replaced.

        Raises:
            FileExistsError: something is there that this conversation did not write.
            OSError: it cannot be written.
        """
        if path.suffix == ".json":
            text = json.dumps(self.messages, ensure_ascii=False, indent=2) + "\n"
        else:
            text = "\n\n".join(f"## {turn['role']}\n\n{turn['content']}" for turn in self.messages) + "\n"
        place = path.absolute()
        if place in self._saved:
            # The earlier one stays whole until this one is.
            fresh = place.with_name(f".{place.name}.new")
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(place)
            return
        with place.open("x", encoding="utf-8") as file:
            self._saved.add(place)
            file.write(text)


def _turn(role: str, content: str) -> Turn:
    return {"role": role, "content": content}
