"""Unfused against fused graph: the same float32 weights, taken apart into stock operators or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.contenders import Contender
from benchmarks.experiments.section import Bars, Section
from benchmarks.markdown import table
from benchmarks.settings import Settings
from benchmarks.spread import Spread, paired_ratio
from benchmarks.store import Result, Store

WORKLOADS = {"decode_1": "decode, 1 stream", "decode_8": "decode, 8 streams", "prefill_512": "prefill, 512 tokens"}

Runs = list[dict[str, float]]
"""One round's figures each."""


@dataclass(frozen=True)
class Form:
    """One row of the table."""

    key: str
    title: str
    contender: Contender
    optimize: bool = True


FORMS = (
    Form("plain", "stock operators, as written", Contender("", "onnx-copying", "unfused"), optimize=False),
    Form("optimized", "stock operators, optimized by onnxruntime", Contender("", "onnx-copying", "unfused")),
    Form("fused", "fused operators, KV copied", Contender("", "onnx-copying", "fp32")),
    Form("in-place", "fused operators, KV rows in place", Contender("", "onnx", "fp32")),
)


class Fusion:
    """Four forms of one graph, which agree token for token."""

    name = "fusion"

    def measure(self, settings: Settings, store: Store) -> None:
        """Take turns."""
        folder = f"{self.name}/{settings.own_shape}"
        for number in range(settings.rounds):
            for form in FORMS if number % 2 == 0 else FORMS[::-1]:
                store.need(f"{folder}/{form.key}/{number}", partial(_measure, settings, form, number))

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table."""
        shape = settings.own_shape
        rounds = store.paired([f"{self.name}/{shape}/{form.key}" for form in FORMS])
        rates = {form.key: [result["figures"] for result in runs] for form, runs in zip(FORMS, rounds, strict=True)}
        if not all(rates.values()):
            return []
        rows = [
            [form.title, *(_cell(rates[form.key], rates["plain"], workload) for workload in WORKLOADS)]
            for form in FORMS
        ]
        note = (
            f"{shape} in float32, tokens per second, and the ratio to the first row. *Fused* is what the model builder "
            "makes: rotary embedding, cache and attention in one operator, sum and norm in another."
        )
        body = f"{note}\n\n{table(['', *WORKLOADS.values()], rows)}"
        return [Section("Unfused against fused graph", body, (_plot(rates, shape),))]


def _measure(settings: Settings, form: Form, number: int) -> Result:
    print(f"fusion, round {number}: {form.title}", flush=True)
    job = replace(form.contender.job(settings, settings.own_shape), optimize=form.optimize, seed=number)
    job = replace(job, decode_streams=(1, 8), prefill_tokens=(512,))
    return form.contender.run(settings, job)


def _cell(runs: Runs, base: Runs, workload: str) -> str:
    values = Spread.of([run[workload] for run in runs])
    return f"{values.text(1)}, {_ratio(runs, base, workload).median:.2f}x"


def _ratio(runs: Runs, base: Runs, workload: str) -> Spread:
    ours, theirs = ([run[workload] for run in each] for each in (runs, base))
    return paired_ratio(ours, theirs)


def _plot(rates: dict[str, Runs], shape: str) -> Bars:
    series = {
        form.title: tuple(_ratio(rates[form.key], rates["plain"], workload).bar for workload in WORKLOADS)
        for form in FORMS
    }
    title = f"{shape} in float32: speed relative to stock operators as written"
    return Bars("fusion.png", title, "times as fast", tuple(WORKLOADS.values()), series)
