"""Compares what was built with the float graph it was built from, and takes one where several were built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autoglmctl.build.agreement import Comparison, compare, is_batch_invariant
from autoglmctl.build.choice import choose
from autoglmctl.build.cost import measure_cost, median_cost, size_bytes
from autoglmctl.build.options import BuildOptions
from autoglmctl.build.progress import Progress
from autoglmctl.build.prune import prune_in_place
from autoglmctl.build.recording import Recording
from autoglmctl.build.report import BuildReport, Candidate, Cost
from autoglmctl.build.runner import GraphRunner
from autoglmd.errors.base import AutoglmError

ROUNDS = 3
"""Of timing, when there is something to choose: candidates take turns, so that a slow minute hits all of them."""


@dataclass(frozen=True)
class Form:
    """One form of the model, staged beside the float graph."""

    scheme: str
    folder: Path
    notes: tuple[str, ...]
    """What converting it had to say."""


class Measurement:
    """Measures the staged forms of one build; each step leaves the graphs in the state that the next one needs."""

    def __init__(self, reference: Path, windows: list[np.ndarray], options: BuildOptions, progress: Progress) -> None:
        """Take the float graph's folder and windows of calibration ids, int64 `[tokens]`."""
        self._reference = reference
        self._windows = windows
        self._options = options
        self._progress = progress

    def sizes_only(self, form: Form) -> BuildReport:
        """Prune, if asked, and report what needs no comparison."""
        invariant = is_batch_invariant(GraphRunner(form.folder, self._options.threads), self._windows[0])
        note = self._prune([form])
        return replace(
            self._report(form.scheme, Cost(size_bytes(form.folder)), note + form.notes), batch_invariant=invariant
        )

    def measured(self, forms: Sequence[Form]) -> BuildReport:
        """Compare each form with the float graph, prune all, time all, and take one.

        Agreement needs every position's logits, so it comes before pruning; cost is that of the final graphs.
        """
        recording = self._record()
        compared = [self._compare(form, recording) for form in forms]
        notes = self._prune(forms)
        float_perplexity = compared[0][0].float_perplexity
        float_cost, float_notes = self._float_cost(float_perplexity)
        costs = self._costs(forms)
        candidates = [
            Candidate(form.scheme, replace(cost, perplexity=found.built_perplexity), found.agreement, alone, form.notes)
            for form, cost, (found, alone) in zip(forms, costs, compared, strict=True)
        ]
        return replace(self._chosen(candidates, float_perplexity, notes + float_notes), float32=float_cost)

    def _record(self) -> Recording:
        recording = Recording(self._reference / "logits")
        runner = GraphRunner(self._reference, self._options.threads, pack=False)
        recording.record(runner, self._windows, lambda part: self._progress("run FP32", part))
        return recording

    def _compare(self, form: Form, recording: Recording) -> tuple[Comparison, bool]:
        runner = GraphRunner(form.folder, self._options.threads)
        found = compare(recording, runner, self._windows, lambda part: self._progress(f"compare {form.scheme}", part))
        return found, is_batch_invariant(runner, self._windows[0])

    def _prune(self, forms: Sequence[Form]) -> tuple[str, ...]:
        if not self._options.prune_lm_head:
            return ()
        notes = [prune_in_place(folder) for folder in (self._reference, *(form.folder for form in forms))]
        return tuple(note for note in notes[:1] if note)

    def _float_cost(self, perplexity: float) -> tuple[Cost, tuple[str, ...]]:
        """Time the float graph; where that fails (it may not fit in memory), say so and go on without."""
        self._progress("time FP32", 0.0)
        notes: tuple[str, ...] = ()
        try:
            cost = self._cost(self._reference)
        except (AutoglmError, OSError, MemoryError) as error:
            cost = Cost(size_bytes(self._reference))
            notes = (f"FP32 was not timed: {str(error) or type(error).__name__}",)
        self._progress("time FP32", 1.0)
        return replace(cost, perplexity=perplexity), notes

    def _costs(self, forms: Sequence[Form]) -> list[Cost]:
        """Time the forms; several take turns, every other round in reverse."""
        rounds = ROUNDS if len(forms) > 1 else 1
        names = " and ".join(form.scheme for form in forms)
        costs: dict[str, list[Cost]] = {form.scheme: [] for form in forms}
        for number in range(rounds):
            for form in forms[:: -1 if number % 2 else 1]:
                costs[form.scheme].append(self._cost(form.folder))
            self._progress(f"time {names}", (number + 1) / rounds)
        return [median_cost(of_one) for of_one in costs.values()]

    def _cost(self, folder: Path) -> Cost:
        return measure_cost(folder, self._options.threads, self._windows[0].size)

    def _chosen(self, candidates: Sequence[Candidate], float_perplexity: float, notes: tuple[str, ...]) -> BuildReport:
        if len(candidates) == 1:
            (taken,), reason = candidates, ""
        else:
            choice = choose(candidates[0], candidates[1], float_perplexity)
            taken, reason = choice.candidate, choice.reason
        report = self._report(taken.scheme, taken.cost, notes + taken.notes)
        return replace(
            report,
            agreement=taken.agreement,
            batch_invariant=taken.batch_invariant,
            choice=reason,
            candidates=tuple(candidates) if reason else (),
        )

    def _report(self, scheme: str, built: Cost, notes: tuple[str, ...]) -> BuildReport:
        return BuildReport(
            precision=self._options.weights.precision.value,
            scheme=scheme,
            group_size=self._options.weights.group_size,
            kv=self._options.kv.precision.value,
            built=built,
            float32=Cost(size_bytes(self._reference)),
            notes=notes,
        )
