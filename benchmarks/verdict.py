"""Goals and whether they were reached."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from benchmarks.spread import Spread

LEAST_ROUNDS = 3
"""The range of fewer says too little of what another round would bring."""


class Outcome(Enum):
    """What can be said of a goal; the values are a cell's words."""

    REACHED = "reached"
    NOISE = "within noise"
    MISSED = "**missed**"
    TOO_FEW = "(too few rounds)"


@dataclass(frozen=True)
class Verdict:
    """A cell of a table of goals."""

    text: str
    outcome: Outcome


def at_least(ratio: Spread, goal: float, digits: int = 2) -> Verdict:
    """Judge a ratio by all rounds: where some reached the goal and others did not, another run might say the other."""
    straddling = Outcome.NOISE if ratio.high >= goal else Outcome.MISSED
    return _verdict(ratio, digits, Outcome.REACHED if ratio.low >= goal else straddling)


def at_most_in_every_round(ratio: Spread, goal: float, digits: int = 2) -> Verdict:
    """Judge a limit by the worst round alone: one that was kept in half of the rounds was not kept."""
    return _verdict(ratio, digits, Outcome.REACHED if ratio.high <= goal else Outcome.MISSED)


def _verdict(ratio: Spread, digits: int, outcome: Outcome) -> Verdict:
    judged = outcome if ratio.rounds >= LEAST_ROUNDS else Outcome.TOO_FEW
    return Verdict(f"{ratio.text(digits)} {judged.value}", judged)
