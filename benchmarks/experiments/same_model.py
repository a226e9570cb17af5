"""Whether all engines compute the same model: their greedy tokens against transformers in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from benchmarks.contenders import COLUMNS, RACE, REFERENCE, Contender
from benchmarks.engines.base import COMPARED_PROMPTS
from benchmarks.experiments.section import Section
from benchmarks.markdown import table
from benchmarks.settings import Settings
from benchmarks.store import Result, Store

PROMPT_TOKENS = 32


class SameModel:
    """Greedy tokens after random prompts. A wrong conversion would agree with next to nothing."""

    name = "same-model"

    def measure(self, settings: Settings, store: Store) -> None:
        """Ask every engine and the reference once."""
        for shape in settings.shapes:
            for contender in (REFERENCE, *RACE):
                key = f"{self.name}/{shape}/{contender.key}"
                store.need(key, partial(_ask, settings, contender, shape), contender.ours)

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table of the share of prompts with the reference's next token."""
        rows = [row for shape in settings.shapes if (row := _row(store, f"{self.name}/{shape}", shape))]
        if not rows:
            return []
        note = (
            f"Share of {COMPARED_PROMPTS} random prompts after which the most probable token is the one that "
            "transformers finds in float32. Random weights give nearly flat distributions, so INT8 flips some; chance "
            "is one in the vocabulary."
        )
        return [Section("The same model", f"{note}\n\n{table(['', *(each.name for each in COLUMNS)], rows)}")]


def _ask(settings: Settings, contender: Contender, shape: str) -> Result:
    print(f"same model, {shape}: {contender.name}", flush=True)
    job = replace(contender.job(settings, shape), prompt_tokens=PROMPT_TOKENS, decode_tokens=16, compare_tokens=True)
    return {"tokens": contender.run(settings, job)["tokens"]}


def _row(store: Store, prefix: str, shape: str) -> list[str]:
    reference = store.get(f"{prefix}/{REFERENCE.key}")
    if reference is None:
        return []
    answers = [store.get(f"{prefix}/{contender.key}") for contender in COLUMNS]
    return [shape, *("-" if answer is None else f"{agreement(answer, reference):.0%}" for answer in answers)]


def agreement(answer: Result, reference: Result) -> float:
    """Return the share of prompts after which both have the same token."""
    pairs = zip(answer["tokens"][:COMPARED_PROMPTS], reference["tokens"][:COMPARED_PROMPTS], strict=True)
    return sum(int(one == other) for one, other in pairs) / COMPARED_PROMPTS
