"""onnxruntime for graphs that append to the KV cache by copying it: each step's present is the next one's past."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.engines.base import Decoded, enough
from benchmarks.engines.onnx_loop import make_session
from benchmarks.job import Job


class OnnxCopying:
    """A session whose outputs are fed back; works with fused graphs too, for comparison on equal terms."""

    def __init__(self, job: Job) -> None:
        """Load the folder `job.model`."""
        # It computes prompts whole, and those of all streams together.
        largest = max(job.most_streams * job.prompt_tokens, *job.prefill_tokens, 0)
        self._session = make_session(replace(job, run_tokens=largest))
        names = [info.name for info in self._session.get_inputs()]
        self._pasts = [name for name in names if name.startswith("past_key_values.")]
        self._has_mask = "attention_mask" in names
        config = json.loads((Path(job.model) / "genai_config.json").read_text(encoding="utf-8"))
        decoder = config["model"]["decoder"]
        self._kv_shape = (decoder["num_key_value_heads"], 0, decoder["head_size"])
        self._optimized = job.optimize

    def prefill(self, prompt: Sequence[int]) -> tuple[float, int]:
        """See `Engine.prefill`."""
        empty = self._empty(1)
        start = time.perf_counter()
        tokens, _ = self._run([prompt], empty, past=0)
        return time.perf_counter() - start, tokens[0]

    def decode(self, prompts: Sequence[Sequence[int]], steps: int, seconds: float = math.inf) -> Decoded:
        """See `Engine.decode`."""
        first, cache = self._run(prompts, self._empty(len(prompts)), past=0)
        tokens, spent = [first], list[float]()
        while len(spent) < steps and not enough(spent, seconds):
            start = time.perf_counter()
            ids = [[token] for token in tokens[-1]]
            answer, cache = self._run(ids, cache, past=len(prompts[0]) + len(spent))
            tokens.append(answer)
            spent.append(time.perf_counter() - start)
        return Decoded(tuple(spent), tuple(zip(*tokens, strict=True)))

    def _run(
        self, ids: Sequence[Sequence[int]], cache: list[ort.OrtValue], past: int
    ) -> tuple[list[int], list[ort.OrtValue]]:
        binding = self._session.io_binding()
        binding.bind_cpu_input("input_ids", np.array(ids, dtype=np.int64))
        if self._has_mask:
            binding.bind_cpu_input("attention_mask", np.ones((len(ids), past + len(ids[0])), dtype=np.int64))
        binding.bind_output("logits", "cpu")
        for name, value in zip(self._pasts, cache, strict=True):
            binding.bind_ortvalue_input(name, value)
            binding.bind_output(name.replace("past_key_values", "present"), "cpu")
        self._session.run_with_iobinding(binding)
        logits, *presents = binding.get_outputs()
        return logits.numpy()[:, -1].argmax(axis=1).tolist(), presents

    def _empty(self, rows: int) -> list[ort.OrtValue]:
        heads, none, width = self._kv_shape
        shape = (rows, heads, none, width)
        return [ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32)) for _ in self._pasts]

    def facts(self) -> dict[str, str]:
        """See `Engine.facts`."""
        return {"onnxruntime": ort.__version__, "graph optimizations": str(self._optimized)}
