"""The experiments: each measures into the store, and writes its section from the store."""

from __future__ import annotations

from benchmarks.experiments.bucketing import Bucketing
from benchmarks.experiments.end_to_end import EndToEnd
from benchmarks.experiments.fusion import Fusion
from benchmarks.experiments.long_prompt import LongPrompt
from benchmarks.experiments.memory import Memory
from benchmarks.experiments.precision import Precision
from benchmarks.experiments.prefetch import Prefetch
from benchmarks.experiments.race import Race
from benchmarks.experiments.same_model import SameModel
from benchmarks.experiments.section import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Race(),
        SameModel(),
        EndToEnd(),
        LongPrompt(),
        Memory(),
        Precision(),
        Prefetch(),
        Fusion(),
        Bucketing(),
    )
}
"""In the order of the report."""
