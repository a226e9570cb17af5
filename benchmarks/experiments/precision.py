"""FP32 against INT8: latency, size, accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import assets
from benchmarks.contenders import GROUPS, GROUPS_KV8, PER_TOKEN, PER_TOKEN_KV8, REFERENCE, Contender
from benchmarks.experiments.same_model import PROMPT_TOKENS, agreement
from benchmarks.experiments.section import Section
from benchmarks.markdown import table
from benchmarks.process import run_module
from benchmarks.settings import GLM_SMALL, Settings
from benchmarks.spread import Spread
from benchmarks.store import Result, Store

FORMS = (
    Contender("FP32", "onnx", "fp32"),
    *(
        replace(loop, name=f"INT8, {loop.build}", prepared=False)
        for loop in (GROUPS, GROUPS_KV8, PER_TOKEN, PER_TOKEN_KV8)
    ),
)
COLUMNS = ("", "size, MB", "one stream, ms/token", "8 streams, tokens/s", "prefill of 512, ms", "accuracy")


class Precision:
    """Our own builds of the same checkpoints."""

    name = "precision"

    def measure(self, settings: Settings, store: Store) -> None:
        """Take turns for the times; ask once for the accuracy."""
        shapes = _shapes(settings)
        for shape in shapes:
            for number in range(settings.rounds):
                for form in FORMS if number % 2 == 0 else FORMS[::-1]:
                    key = f"{self.name}/{shape}/{form.key}/{number}"
                    store.need(key, partial(_times, settings, form, shape, number))
            for form in FORMS:
                store.need(f"{self.name}-accuracy/{shape}/{form.key}", partial(_accuracy, settings, form, shape))
        own = settings.own_shape
        key = f"{self.name}-accuracy/{own}/{REFERENCE.key}"
        store.need(key, lambda: _accuracy(settings, REFERENCE, own), REFERENCE.ours)

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table for both models."""
        shapes = (settings.own_shape, GLM_SMALL)
        rows = [row for shape in shapes for form in FORMS if (row := self._row(store, shape, form))]
        if not rows:
            return []
        if not store.under(f"{self.name}/{GLM_SMALL}"):
            rows.append([f"{GLM_SMALL}: not measured, its checkpoint was not there", *["-"] * (len(COLUMNS) - 1)])
        note = (
            "Raw loop, two threads, graphs as shipped (not prepared). Accuracy of glm-small is exact match on its "
            "held-out set, which training never saw; of the random-weight shape, the share of random prompts with "
            "transformers' next token in float32."
        )
        return [Section("FP32 against INT8", f"{note}\n\n{table(COLUMNS, rows)}")]

    def _row(self, store: Store, shape: str, form: Contender) -> list[str]:
        rounds = [result["figures"] for result in store.under(f"{self.name}/{shape}/{form.key}").values()]
        answer = store.get(f"{self.name}-accuracy/{shape}/{form.key}")
        if not rounds or answer is None:
            return []
        latency = Spread.of([1000 / figures["decode_1"] for figures in rounds])
        prefill = Spread.of([512_000 / figures["prefill_512"] for figures in rounds])
        batched = Spread.of([figures["decode_8"] for figures in rounds])
        digits = 2 if latency.median < 10 else 1
        speeds = [latency.text(digits), batched.text(), prefill.text()]
        size = f"{answer['size'] / 1e6:.1f}"
        return [f"{shape}, {form.name}", size, *speeds, _accuracy_text(store, shape, answer)]


def _shapes(settings: Settings) -> tuple[str, ...]:
    """Leave glm-small out where its checkpoint has not been trained."""
    own = settings.own_shape
    return (own, GLM_SMALL) if assets.path(settings, GLM_SMALL, "checkpoint").exists() else (own,)


def _times(settings: Settings, form: Contender, shape: str, number: int) -> Result:
    print(f"precision, {shape}, round {number}: {form.name}", flush=True)
    job = replace(form.job(settings, shape), decode_streams=(1, 8), prefill_tokens=(512,), seed=number)
    return form.run(settings, job)


def _accuracy(settings: Settings, form: Contender, shape: str) -> Result:
    print(f"accuracy, {shape}: {form.name}", flush=True)
    job = replace(form.job(settings, shape), prompt_tokens=PROMPT_TOKENS, decode_tokens=16, compare_tokens=True)
    size = sum(file.stat().st_size for file in Path(job.model).glob("model.onnx*"))
    if shape == GLM_SMALL:
        arguments = [job.model, str(settings.threads)]
        share = run_module(settings.python, "benchmarks.glm_small_accuracy", arguments, settings.threads)
        return {**share, "size": size}
    return {"tokens": form.run(settings, job)["tokens"], "size": size}


def _accuracy_text(store: Store, shape: str, answer: Result) -> str:
    if "share" in answer:
        return f"{answer['share']:.2%} of {answer['cases']}"
    reference = store.get(f"precision-accuracy/{shape}/{REFERENCE.key}")
    return f"{agreement(answer, reference):.0%}" if reference else "-"
