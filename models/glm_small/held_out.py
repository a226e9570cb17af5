"""The evaluation sets: turns by split and category that share no held-out key with training."""

from dataclasses import dataclass
from typing import Literal

from models.glm_small.corpus import Conversation, Corpus
from models.glm_small.grammar_file import LANGUAGES, Language
from models.glm_small.split import EVALUATION_SPLITS, Split, Stage

EVALUATION_SEED = 2026
_COMBINED = ("command", "two commands", "delayed", "implied", "decline")
_CATEGORIES: dict[Split, tuple[str, ...]] = {
    "combination": (*_COMBINED, "follow-up"),
    "pattern": (*_COMBINED, "follow-up", "scene", "about"),
    "both": ("command", "two commands", "implied", "follow-up", "decline"),
}


@dataclass(frozen=True)
class Case:
    """One thing to get right: what is asked last, what came before it, and where it is counted."""

    split: Split | Literal["outside"]
    category: str
    language: Language
    conversation: Conversation

    @property
    def text(self) -> str:
        """What is asked."""
        return self.conversation[-1].text

    @property
    def answer(self) -> str:
        """The only answer that counts."""
        return self.conversation[-1].answer


def cases(per_group: int, seed: int = EVALUATION_SEED, stage: Stage = "test") -> list[Case]:
    """One evaluation set: per_group distinct cases of each split, category and language."""
    found: list[Case] = []
    for split in EVALUATION_SPLITS:
        corpus = Corpus(seed, split, stage)
        for category in _CATEGORIES[split]:
            for language in LANGUAGES:
                found += _group(corpus, split, category, language, per_group)
    return found


def _group(corpus: Corpus, split: Split, category: str, language: Language, count: int) -> list[Case]:
    # Some groups are small: what does not turn up in ten times as many draws is left out.
    group: dict[str, Case] = {}
    for _ in range(10 * count):
        conversation = corpus.follow_up(language) if category == "follow-up" else (corpus.turn(language, category),)
        group.setdefault(conversation[-1].text, Case(split, category, language, conversation))
        if len(group) == count:
            break
    return list(group.values())
