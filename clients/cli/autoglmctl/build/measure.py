"""Compares what was built with the float graph it was built from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from autoglmctl.build.agreement import Comparison, compare, is_batch_invariant
from autoglmctl.build.cost import measure_cost, size_bytes
from autoglmctl.build.options import BuildOptions
from autoglmctl.build.progress import Progress
from autoglmctl.build.prune import prune_in_place
from autoglmctl.build.report import BuildReport, Cost
from autoglmctl.build.runner import GraphRunner


def measure_and_prune(
    reference: Path, built: Path, windows: list[np.ndarray], options: BuildOptions, progress: Progress
) -> BuildReport:
    """Compare the folders `reference` and `built`, then give both graphs their final form (pruned, if asked).

    Agreement needs every position's logits, so it comes before pruning; cost is that of the final form.
    """
    report = BuildReport(
        precision=options.weights.precision.value,
        scheme=options.weights.scheme.value,
        group_size=options.weights.group_size,
        kv=options.kv.precision.value,
        built=Cost(size_bytes(built)),
        float32=Cost(size_bytes(reference)),
        batch_invariant=is_batch_invariant(GraphRunner(built, options.threads), windows[0]),
    )
    comparison = _compare(reference, built, windows, options, progress) if options.measure else None
    if options.prune_lm_head:
        notes = [note for note in (prune_in_place(folder) for folder in (reference, built)) if note]
        report = report.with_notes(tuple(notes[:1]))
    return _with_costs(report, comparison, (reference, built), windows, options) if comparison else report


def _compare(
    reference: Path, built: Path, windows: list[np.ndarray], options: BuildOptions, progress: Progress
) -> Comparison:
    runners = GraphRunner(reference, options.threads, pack=False), GraphRunner(built, options.threads)
    return compare(*runners, windows, lambda part: progress("measure", part))


def _with_costs(
    report: BuildReport,
    comparison: Comparison,
    folders: tuple[Path, Path],
    windows: list[np.ndarray],
    options: BuildOptions,
) -> BuildReport:
    tokens = windows[0].size
    float32, built = (measure_cost(folder, options.threads, tokens) for folder in folders)
    return replace(
        report,
        float32=replace(float32, perplexity=comparison.float_perplexity),
        built=replace(built, perplexity=comparison.built_perplexity),
        agreement=comparison.agreement,
        window_tokens=tokens,
    )
