"""Padded against bucketed batches of fresh prompts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import fresh_prompts
from benchmarks import job as jobs
from benchmarks.contenders import SCHEMES, Contender
from benchmarks.experiments.section import Bars, Section
from benchmarks.markdown import table
from benchmarks.process import run_module
from benchmarks.settings import Settings
from benchmarks.spread import Spread, paired_ratio
from benchmarks.store import Result, Store

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
        for contender in SCHEMES:
            for number in range(settings.rounds):
                key = f"{_folder(settings, contender)}/{number}"
                store.need(key, partial(_measure, settings, contender, number))

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table."""
        rows = [
            _row(way, contender, results)
            for contender in SCHEMES
            if (results := list(store.under(_folder(settings, contender)).values()))
            for way in WAYS
        ]
        if not rows:
            return []
        note = (
            f"{settings.own_shape}; {fresh_prompts.PROMPTS} prompts of {fresh_prompts.SHORTEST} to "
            f"{fresh_prompts.LONGEST} tokens (evenly by their logarithm) wait together; prompts per second. *Padding* "
            "is the share of computed positions that hold no token."
        )
        header = ["", "prompts/s", "ratio to padded", "padding", "runs of the graph"]
        return [
            Section("Padded against bucketed batches", f"{note}\n\n{table(header, rows)}", (_plot(settings, store),))
        ]


def _folder(settings: Settings, contender: Contender) -> str:
    return f"bucketing/{settings.own_shape}/{contender.key}"


def _plot(settings: Settings, store: Store) -> Bars:
    found = {
        contender.build: results
        for contender in SCHEMES
        if (results := list(store.under(_folder(settings, contender)).values()))
    }
    series = {
        title: tuple(Spread.of([result[way]["rate"] for result in results]).bar for results in found.values())
        for way, title in WAYS.items()
    }
    title = f"{settings.own_shape}: prompts per second, more is better"
    return Bars("bucketing.png", title, "prompts/s", tuple(found), series)


def _measure(settings: Settings, contender: Contender, number: int) -> Result:
    print(f"bucketing, round {number}: {contender.build}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.json"
        jobs.write(replace(contender.job(settings, settings.own_shape), seed=number), file)
        return run_module(settings.python, "benchmarks.fresh_prompts", [str(file)], settings.threads)


def _row(way: str, contender: Contender, results: Sequence[Result]) -> list[str]:
    rates, bases = ([result[name]["rate"] for result in results] for name in (way, "padded"))
    padding = Spread.of([100 * result[way]["padding"] for result in results])
    runs = Spread.of([result[way]["runs"] for result in results])
    ratio = paired_ratio(rates, bases).text(2)
    return [f"{contender.build}: {WAYS[way]}", Spread.of(rates).text(1), ratio, f"{padding.median:.0f} %", runs.text(0)]
