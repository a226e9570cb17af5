"""Padded against bucketed batches of fresh prompts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import fresh_prompts
from benchmarks import job as jobs
from benchmarks.contenders import OURS, Contender
from benchmarks.experiments.section import Bars, Section
from benchmarks.markdown import table
from benchmarks.process import run_module
from benchmarks.settings import Settings
from benchmarks.spread import Spread, paired_ratio
from benchmarks.store import Result, Store

SHAPE = "llama-0.43b"
WAYS = {
    "alone": "one prompt at a time",
    "padded": f"padded, {fresh_prompts.ROWS} by arrival",
    "bucketed": "bucketed by the daemon's plan",
}


class Bucketing:
    """64 prompts of 8 to 128 tokens, all waiting at once."""

    name = "bucketing"

    def measure(self, settings: Settings, store: Store) -> None:
        """Run all ways in one process a round; they take turns inside."""
        for contender in OURS:
            for number in range(settings.rounds):
                store.need(f"{self.name}/{contender.key}/{number}", lambda: _measure(settings, contender, number))  # noqa: B023

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:  # noqa: ARG002
        """Write one table."""
        rows = [
            _row(way, contender, results)
            for contender in OURS
            if (results := list(store.under(f"{self.name}/{contender.key}").values()))
            for way in WAYS
        ]
        if not rows:
            return []
        note = (
            f"{SHAPE}; {fresh_prompts.PROMPTS} prompts of {fresh_prompts.SHORTEST} to {fresh_prompts.LONGEST} tokens "
            "(evenly by their logarithm) wait together; prompts per second. *Padding* is the share of computed "
            "positions that hold no token."
        )
        header = ["", "prompts/s", "ratio to padded", "padding", "runs of the graph"]
        return [Section("Padded against bucketed batches", f"{note}\n\n{table(header, rows)}", (_plot(store),))]


def _plot(store: Store) -> Bars:
    found = {
        contender.name: results
        for contender in OURS
        if (results := list(store.under(f"bucketing/{contender.key}").values()))
    }
    series = {
        title: tuple(Spread.of([result[way]["rate"] for result in results]).bar for results in found.values())
        for way, title in WAYS.items()
    }
    return Bars("bucketing.png", f"{SHAPE}: prompts per second, more is better", "prompts/s", tuple(found), series)


def _measure(settings: Settings, contender: Contender, number: int) -> Result:
    print(f"bucketing, round {number}: {contender.name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.json"
        jobs.write(replace(contender.job(settings, SHAPE), seed=number), file)
        return run_module(settings.python, "benchmarks.fresh_prompts", [str(file)], settings.threads)


def _row(way: str, contender: Contender, results: Sequence[Result]) -> list[str]:
    rates, bases = ([result[name]["rate"] for result in results] for name in (way, "padded"))
    padding = Spread.of([100 * result[way]["padding"] for result in results])
    runs = Spread.of([result[way]["runs"] for result in results])
    ratio = paired_ratio(rates, bases).text(2)
    return [f"{contender.name}: {WAYS[way]}", Spread.of(rates).text(1), ratio, f"{padding.median:.0f} %", runs.text()]
