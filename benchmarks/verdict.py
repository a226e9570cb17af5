"""Goals and whether they were reached."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.spread import Spread


@dataclass(frozen=True)
class Verdict:
    """A cell of a table of goals."""

    text: str
    reached: bool


def at_least(ratio: Spread, goal: float, digits: int = 2) -> Verdict:
    """Judge a ratio's median, which no single good or bad round decides."""
    return _verdict(ratio.text(digits), ratio.median >= goal)


def at_most_in_every_round(ratio: Spread, goal: float, digits: int = 2) -> Verdict:
    """Judge the worst round: a limit that was kept in half of the rounds was not kept."""
    return _verdict(ratio.text(digits), ratio.high <= goal)


def _verdict(figures: str, reached: bool) -> Verdict:
    return Verdict(f"{figures} {'reached' if reached else '**missed**'}", reached)
