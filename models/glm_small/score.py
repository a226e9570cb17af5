"""Exact match by split and category, and the table that says it."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.glm_small.held_out import Case
from models.glm_small.outside import Sentence

FP32_TARGET = 0.97
LARGEST_LOSS = 0.01

_HEADERS = {
    "combination": "new combination",
    "pattern": "new phrasing",
    "both": "both new",
}


@dataclass(frozen=True)
class Score:
    """How many cases one model got right."""

    name: str
    right: tuple[bool, ...]

    @property
    def share(self) -> float:
        """Exact match over all cases, 0 to 1."""
        return sum(self.right) / len(self.right)


def table(cases: Sequence[Case], scores: Sequence[Score]) -> str:
    """A Markdown table: one line per split and category, with the number of cases and each model's exact match."""
    labels = [(_HEADERS[case.split], case.category) for case in cases]
    return _table(("held out", "category", "cases"), labels, scores)


def outside_table(sentences: Sequence[Sentence], scores: Sequence[Score]) -> str:
    """The same for sentences from outside of the grammar, by language and by what is asked for."""
    labels = [(each.language, {"call": "a call", "topic": "words"}[each.kind]) for each in sentences]
    return _table(("outside the grammar", "asks for", "sentences"), labels, scores)


def shortfalls(fp32: Score, int8: Score) -> list[str]:
    """What misses its target, in words; empty when all is well."""
    missed = []
    if fp32.share < FP32_TARGET:
        missed.append(f"FP32 is right in {fp32.share:.2%} of the cases; the target is {FP32_TARGET:.0%}.")
    if round(fp32.share - int8.share, 9) > LARGEST_LOSS:
        missed.append(f"INT8 loses {fp32.share - int8.share:.2%}; the limit is {LARGEST_LOSS:.0%}.")
    return missed


def _table(heading: tuple[str, str, str], labels: Sequence[tuple[str, str]], scores: Sequence[Score]) -> str:
    lines = [_line(*heading, *(score.name for score in scores))]
    lines.append(_line("---", "---", *["---:"] * (1 + len(scores))))
    for label in dict.fromkeys(labels):
        chosen = [n for n, each in enumerate(labels) if each == label]
        lines.append(_line(*label, str(len(chosen)), *(_percent(score, chosen) for score in scores)))
    everything = range(len(labels))
    lines.append(_line("**all**", "", str(len(labels)), *(f"**{_percent(score, everything)}**" for score in scores)))
    return "\n".join(lines)


def _percent(score: Score, chosen: Sequence[int]) -> str:
    return f"{sum(score.right[n] for n in chosen) / len(chosen):.1%}"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
