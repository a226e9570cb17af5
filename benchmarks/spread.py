"""Medians, ranges and ratios of paired runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SMALL = 20
"""A whole number below it is rounded by more than the ranges that we see."""


@dataclass(frozen=True)
class Spread:
    """The median of some runs and the range that they covered."""

    median: float
    low: float
    high: float
    rounds: int

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """Summarize at least one value.

        Raises:
            ValueError: there is none.
        """
        if not values:
            raise ValueError("no runs to summarize")
        return Spread(statistics.median(values), min(values), max(values), len(values))

    @property
    def bar(self) -> tuple[float, float, float]:
        """Median, lowest and highest, for a plot."""
        return self.median, self.low, self.high

    def text(self, digits: int | None = None) -> str:
        """Render `median (low-high)`; without `digits`, one behind the point where a whole number would say little."""
        if digits is None:
            digits = 1 if self.median < SMALL else 0
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Summarize ours / theirs, round by round: what the machine did to both in a round cancels out.

    Raises:
        ValueError: the rounds do not match, or there are none.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} rounds of ours, {len(theirs)} of theirs: ratios need pairs")
    return Spread.of([one / other for one, other in zip(ours, theirs, strict=True)])
