"""A model that is being served: an engine, what prompts need, and the line before it."""

from dataclasses import dataclass

from autoglmd.engine.engine import Engine
from autoglmd.messages import ModelInfo
from autoglmd.pipeline.admission import Line
from autoglmd.pipeline.prefetch import Prefetcher
from autoglmd.pipeline.prompts import PromptRules


@dataclass(frozen=True, slots=True)
class ServedModel:
    """All that one model's requests meet."""

    info: ModelInfo
    rules: PromptRules
    engine: Engine
    prefetcher: Prefetcher
    line: Line

    def stop(self, timeout_seconds: float) -> bool:
        """Stop its threads and free the model. False: the engine thread did not end in time."""
        # The source first, so that what it has handed over meets an engine that still answers.
        self.prefetcher.stop(timeout_seconds)
        return self.engine.stop(timeout_seconds)
