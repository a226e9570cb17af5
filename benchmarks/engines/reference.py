"""Transformers in float32: not raced, but the truth that every engine's tokens are compared with."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
import transformers

from benchmarks.engines.base import Decoded
from benchmarks.job import Job


class Reference:
    """The checkpoint itself."""

    def __init__(self, job: Job) -> None:
        """Load the Hugging Face folder `job.model`."""
        torch.set_num_threads(job.threads)
        self._model = transformers.AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32).eval()

    def prefill(self, prompt: Sequence[int]) -> tuple[float, int]:
        """See `Engine.prefill`."""
        start = time.perf_counter()
        with torch.no_grad():
            token = int(self._model(torch.tensor([prompt])).logits[0, -1].argmax())
        return time.perf_counter() - start, token

    def decode(self, prompts: Sequence[Sequence[int]], steps: int, seconds: float = math.inf) -> Decoded:
        """See `Engine.decode`. Every stream is computed alone and not timed; `seconds` does not end it."""
        del seconds
        return Decoded((0.0,) * steps, tuple(self._greedy(list(prompt), steps + 1) for prompt in prompts))

    def _greedy(self, ids: list[int], new_tokens: int) -> tuple[int, ...]:
        prompt_tokens = len(ids)
        for _ in range(new_tokens):
            ids.append(self.prefill(ids)[1])
        return tuple(ids[prompt_tokens:])

    def facts(self) -> dict[str, str]:
        """See `Engine.facts`."""
        return {"transformers": transformers.__version__, "torch": torch.__version__}
