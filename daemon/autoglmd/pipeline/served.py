"""A model that is being served: an engine, what prompts need, and the line before it."""

import time
from dataclasses import dataclass, replace

from autoglmd.engine.engine import Engine
from autoglmd.messages.status import EngineStats, ModelInfo
from autoglmd.pipeline.line import Line
from autoglmd.pipeline.prefetch import Prefetcher
from autoglmd.pipeline.prompts import PromptRules
from autoglmd.sessions.conversation import ModelMark


@dataclass(frozen=True, slots=True)
class ServedModel:
    """All that one model's requests meet; `mark` is what its sessions bear."""

    info: ModelInfo
    rules: PromptRules
    engine: Engine
    prefetcher: Prefetcher
    line: Line
    mark: ModelMark

    @property
    def stats(self) -> EngineStats:
        """The engine's counters; `waiting` counts whoever has no row, wherever on the way."""
        return replace(self.engine.stats, waiting=self.prefetcher.waiting)

    def stop(self, timeout_seconds: float) -> bool:
        """Stop its threads and free the model. False: the engine thread did not end in time."""
        deadline = time.monotonic() + timeout_seconds
        # The source first, so that what it has handed over meets an engine that still answers.
        self.prefetcher.stop(timeout_seconds)
        return self.engine.stop(max(0.0, deadline - time.monotonic()))
