"""The experiments: each measures into the store, and writes its section from the store."""

from __future__ import annotations

from benchmarks.experiments.beside import BesideStreams
from benchmarks.experiments.bucketing import Bucketing
from benchmarks.experiments.end_to_end import EndToEnd
from benchmarks.experiments.fusion import Fusion
from benchmarks.experiments.long_prompt import LongPrompt
from benchmarks.experiments.memory import Memory
from benchmarks.experiments.peer import Peer
from benchmarks.experiments.precision import Precision
from benchmarks.experiments.prefetch import Prefetch
from benchmarks.experiments.race import Race
from benchmarks.experiments.resume import Resume
from benchmarks.experiments.returning import ReturningSessions
from benchmarks.experiments.same_model import SameModel
from benchmarks.experiments.section import Experiment
from benchmarks.experiments.session_bytes import SessionBytes
from benchmarks.experiments.start import Start

OF_ENGINES: tuple[Experiment, ...] = (
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
"""In the order of the report."""
OF_SESSIONS: tuple[Experiment, ...] = (
    Resume(),
    SessionBytes(),
    BesideStreams(),
    ReturningSessions(),
    Start(),
    Peer(),
)
"""In the order of theirs."""
EXPERIMENTS: dict[str, Experiment] = {experiment.name: experiment for experiment in (*OF_ENGINES, *OF_SESSIONS)}
