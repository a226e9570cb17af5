"""Exact match by split and category, and the table that says it."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.glm_small.held_out import Case

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
    lines = [_line("held out", "category", "cases", *(score.name for score in scores))]
    lines.append(_line("---", "---", *["---:"] * (1 + len(scores))))
    for split, category in dict.fromkeys((case.split, case.category) for case in cases):
        chosen = [n for n, case in enumerate(cases) if (case.split, case.category) == (split, category)]
        lines.append(_line(_HEADERS[split], category, str(len(chosen)), *(_percent(score, chosen) for score in scores)))
    everything = list(range(len(cases)))
    lines.append(_line("**all**", "", str(len(cases)), *(f"**{_percent(score, everything)}**" for score in scores)))
    return "\n".join(lines)


def shortfalls(fp32: Score, int8: Score) -> list[str]:
    """What misses its target, in words; empty when all is well."""
    missed = []
    if fp32.share < FP32_TARGET:
        missed.append(f"FP32 is right in {fp32.share:.2%} of the cases; the target is {FP32_TARGET:.0%}.")
    if round(fp32.share - int8.share, 9) > LARGEST_LOSS:
        missed.append(f"INT8 loses {fp32.share - int8.share:.2%}; the limit is {LARGEST_LOSS:.0%}.")
    return missed


def _percent(score: Score, chosen: Sequence[int]) -> str:
    return f"{sum(score.right[n] for n in chosen) / len(chosen):.1%}"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
