"""What an experiment hands to the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.settings import Settings
from benchmarks.store import Store

Bar = tuple[float, float, float]
"""Median, lowest and highest."""


@dataclass(frozen=True)
class Bars:
    """A plot of grouped bars with ranges.

    Attributes:
        groups: what stands along the axis.
        series: per legend entry, a bar for each group.
        emphasized: the legend entry that a reader looks for first, if any.
    """

    file: str
    title: str
    unit: str
    groups: tuple[str, ...]
    series: dict[str, tuple[Bar, ...]]
    emphasized: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    title: str
    body: str
    plots: tuple[Bars, ...] = field(default=())


class Experiment(Protocol):
    """One experiment."""

    name: str

    def measure(self, settings: Settings, store: Store) -> None:
        """Measure whatever the store does not have yet."""

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write what the store has; nothing where it has nothing."""
