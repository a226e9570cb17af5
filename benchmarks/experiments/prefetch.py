"""Serial against decoupled prefetch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import assets
from benchmarks import job as jobs
from benchmarks.contenders import GROUPS_KV8
from benchmarks.experiments.section import Section
from benchmarks.markdown import table
from benchmarks.process import run_module
from benchmarks.settings import GLM_SMALL, Settings
from benchmarks.spread import Spread, paired_ratio
from benchmarks.store import Result, Store


class Prefetch:
    """Requests of text, prepared in the computing thread or ahead of it."""

    name = "prefetch"

    def measure(self, settings: Settings, store: Store) -> None:
        """Run both ways in one process a round; they take turns inside."""
        for shape in _shapes(settings):
            for number in range(settings.rounds):
                store.need(f"{self.name}/{shape}/{number}", partial(_measure, settings, shape, number))

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table."""
        rows = [
            _row(shape, results)
            for shape in (GLM_SMALL, settings.own_shape)
            if (results := list(store.under(f"{self.name}/{shape}").values()))
        ]
        if not rows:
            return []
        note = (
            "Requests per second, one after the other, each prefilled and decoded for a few tokens by the raw loop "
            f"({GROUPS_KV8.build}). *Preparing* is chat template, tokenizer and checks of one request."
        )
        header = ["", "prompt, tokens", "preparing, ms", "serial", "decoupled", "decoupled / serial"]
        return [Section("Serial against decoupled prefetch", f"{note}\n\n{table(header, rows)}")]


def _shapes(settings: Settings) -> tuple[str, ...]:
    """Leave glm-small out where its checkpoint has not been trained."""
    trained = assets.path(settings, GLM_SMALL, "checkpoint").exists()
    return (GLM_SMALL, settings.own_shape) if trained else (settings.own_shape,)


def _measure(settings: Settings, shape: str, number: int) -> Result:
    print(f"prefetch, {shape}, round {number}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.json"
        jobs.write(replace(GROUPS_KV8.job(settings, shape), seed=number), file)
        return run_module(settings.python, "benchmarks.prefetching", [str(file)], settings.threads)


def _row(shape: str, results: Sequence[Result]) -> list[str]:
    serial, decoupled = ([result[name] for result in results] for name in ("serial", "decoupled"))
    preparing = Spread.of([result["preparing_ms"] for result in results])
    tokens = Spread.of([result["prompt_tokens"] for result in results])
    ratio = paired_ratio(decoupled, serial).text(2)
    rates = [Spread.of(rates).text(1) for rates in (serial, decoupled)]
    return [shape, f"{tokens.median:.0f}", preparing.text(2), *rates, ratio]
