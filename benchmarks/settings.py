"""What one run of the benchmarks is told: where, how long, with which interpreters."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkpoints import SHAPES

ROUNDS = 5
QUICK_ROUNDS = 2
RACED = ("llama-0.43b", "glm-edge-1.5b")
"""The shapes that goals are set for."""
TINY = "llama-tiny"
"""Small enough to try the whole harness in minutes; its figures mean nothing."""
GLM_SMALL = "glm-small"
GLM_SMALL_CHECKPOINT = Path(__file__).resolve().parents[1] / "models" / "glm_small" / "checkpoint"
"""The embedded model: trained, so its accuracy can be measured; it has no place in the race."""


@dataclass(frozen=True)
class Settings:
    """One run.

    Attributes:
        work: raw results and converted models; what is there already is not made again.
        output: where Markdown and plots go.
        peers_python: the interpreter that has llama.cpp and OpenVINO. It is another one than ours, because
            optimum-intel exports Glm with transformers up to 5.0 and onnxruntime-genai's builder needs a later one.
    """

    work: Path = Path("build-out/bench")
    output: Path = Path("docs/benchmarks")
    peers_python: str = ".venv-peers/bin/python"
    python: str = sys.executable
    shapes: tuple[str, ...] = RACED
    rounds: int = ROUNDS
    quick: bool = False
    threads: int = 2
    patience_seconds: float = 0.0
    retakes: int = 0

    @property
    def own_shape(self) -> str:
        """The shape of the tables without peers. A Llama, because `convert.unfused` takes apart no other."""
        return TINY if self.shapes == (TINY,) else RACED[0]

    @property
    def session_shape(self) -> str:
        """The shape that the goals of conversations on disk are set for, or what is tried in its place."""
        return RACED[1] if RACED[1] in self.shapes else self.shapes[0]

    @property
    def models(self) -> Path:
        """Checkpoints and what was converted from them."""
        return self.work / "models"

    @property
    def state(self) -> Path:
        """The daemon's state_dir; prepared models lie in it, so that daemon and raw loop use the same ones."""
        return self.work / "state"

    @property
    def results(self) -> Path:
        """Raw results as JSON; quick runs are kept apart, because they measure other things."""
        return self.work / ("results-quick" if self.quick else "results")

    def vocab(self, shape: str) -> int:
        """Size of a shape's vocabulary."""
        if shape in SHAPES:
            return int(SHAPES[shape].config["vocab_size"])
        config = (GLM_SMALL_CHECKPOINT / "config.json").read_text(encoding="utf-8")
        return int(json.loads(config)["vocab_size"])
