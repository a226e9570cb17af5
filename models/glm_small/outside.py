"""Sentences that nobody wrote into the grammar: they are scored apart, and trained on never."""

import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from models.glm_small.example import Example
from models.glm_small.grammar_file import LANGUAGES, Language, questions
from models.glm_small.held_out import Case

_FILE = Path(__file__).parent / "outside.toml"
KINDS = ("call", "topic")
Judge = Callable[[Sequence[Case]], Iterator[bool]]


@dataclass(frozen=True)
class Sentence:
    """What somebody says, and every answer that a fair person would take."""

    language: Language
    kind: str
    text: str
    answers: tuple[str, ...]

    @property
    def cases(self) -> tuple[Case, ...]:
        """One case per answer; the sentence is right if one of them is."""
        turns = (Example(self.text, answer, self.kind, self.language, (), ()) for answer in self.answers)
        return tuple(Case("outside", self.kind, self.language, (turn,)) for turn in turns)


def sentences() -> tuple[Sentence, ...]:
    """All of them. Raises KeyError for a topic that the grammar does not have."""
    with _FILE.open("rb") as file:
        return tuple(_sentence(entry) for entry in tomllib.load(file)["sentences"])


def judged(asked: Sequence[Sentence], right: Judge) -> tuple[bool, ...]:
    """Which sentences a model answers rightly, token by token."""
    verdicts = right([case for sentence in asked for case in sentence.cases])
    return tuple(any(list(islice(verdicts, len(sentence.cases)))) for sentence in asked)


def _sentence(entry: dict[str, Any]) -> Sentence:
    language: Language = next(known for known in LANGUAGES if known == entry["language"])
    if "topic" in entry:
        answers = {topic.key: topic.answer for topic in questions(language)}
        return Sentence(language, "topic", entry["text"], (answers[entry["topic"]],))
    call = entry["call"]
    return Sentence(language, "call", entry["text"], (call,) if isinstance(call, str) else tuple(call))
