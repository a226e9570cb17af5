"""The raw onnxruntime loop: the least code that decodes a batch, with KV rows bound in place.

It is what the daemon is compared with: no scheduler, no sampler but argmax, no tokenizer, no gRPC.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoglmd.host.amx import amx_withheld
from autoglmd.model.attention_kernel import attention_kernel, scratch_bytes
from benchmarks.engines.base import Decoded, enough
from benchmarks.job import Job

with amx_withheld():
    # As in the daemon by default, in whatever process the loop runs.
    import onnxruntime as ort

ATTENTION_VARIABLE = "ORT_GQA_DISABLE_FLASH_ATTENTION"
NUMPY_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int8)": np.int8}


class OnnxLoop:
    """A session and one KV buffer per layer and side, `[rows, kv_heads, context, head_dim]`."""

    def __init__(self, job: Job) -> None:
        """Load `job.model`, a folder in onnxruntime-genai's layout, or its prepared graph `job.graph`."""
        self._job = job
        self._session = make_session(job)
        self._kv = _kv_buffers(self._session, job)
        self._logits = np.zeros((job.most_streams, 1, job.vocab), dtype=np.float32)
        self._bindings: dict[tuple[int, int], ort.IOBinding] = {}

    def prefill(self, prompt: Sequence[int]) -> tuple[float, int]:
        """See `Engine.prefill`."""
        ids = np.array([prompt], dtype=np.int64)
        start = time.perf_counter()
        token = int(self._prefill(ids)[0].argmax())
        return time.perf_counter() - start, token

    def decode(self, prompts: Sequence[Sequence[int]], steps: int, seconds: float = math.inf) -> Decoded:
        """See `Engine.decode`."""
        first = [int(self._prefill(np.array([prompt]), row)[0].argmax()) for row, prompt in enumerate(prompts)]
        tokens, spent = [first], list[float]()
        while len(spent) < steps and not enough(spent, seconds):
            start = time.perf_counter()
            ids = np.array(tokens[-1], dtype=np.int64).reshape(-1, 1)
            tokens.append(self.run(ids, past=len(prompts[0]) + len(spent)).argmax(axis=1).tolist())
            spent.append(time.perf_counter() - start)
        return Decoded(tuple(spent), tuple(zip(*tokens, strict=True)))

    def _prefill(self, ids: np.ndarray, row: int = 0) -> np.ndarray:
        """Compute a prompt chunk by chunk, as the daemon does; return the last position's logits."""
        starts = range(0, ids.shape[1], self._job.chunk)
        return [self.run(ids[:, start : start + self._job.chunk], past=start, row=row) for start in starts][-1]

    def run(self, ids: np.ndarray, past: int, row: int = 0, lengths: np.ndarray | None = None) -> np.ndarray:
        """Feed `ids` `[rows, new]` to the rows from `row` on, each of which holds `past` tokens.

        Returns the last position's logits, float32 `[rows, vocab]`. `lengths` says where fresh prompts end that are
        padded on the right.
        """
        rows, new = ids.shape
        binding = self._binding(row, rows)
        binding.bind_cpu_input("input_ids", np.ascontiguousarray(ids, dtype=np.int64))
        binding.bind_cpu_input("attention_mask", _mask(rows, past + new, lengths))
        logits = self._logits[:rows]
        if new > 1:
            binding.bind_output("logits", "cpu")
        else:
            binding.bind_output("logits", "cpu", 0, logits.dtype, logits.shape, logits.ctypes.data)
        self._session.run_with_iobinding(binding)
        return logits[:, 0] if new == 1 else _logits_of(binding)

    def _binding(self, row: int, rows: int) -> ort.IOBinding:
        """Return the binding of KV rows `row` to `row + rows`, made once."""
        if (row, rows) not in self._bindings:
            binding = self._session.io_binding()
            for past_name, buffer in self._kv.items():
                part = buffer[row : row + rows]
                place = ("cpu", 0, part.dtype, part.shape, part.ctypes.data)
                binding.bind_input(past_name, *place)
                binding.bind_output(past_name.replace("past_key_values", "present"), *place)
            self._bindings[row, rows] = binding
        return self._bindings[row, rows]

    def facts(self) -> dict[str, str]:
        """See `Engine.facts`."""
        kv_type = next(iter(self._kv.values())).dtype
        graph = "prepared" if self._job.graph else "plain"
        kernel = attention_variable(self._job)
        return {"onnxruntime": ort.__version__, "kv": str(kv_type), "graph": graph, ATTENTION_VARIABLE: kernel}


def _mask(rows: int, tokens: int, lengths: np.ndarray | None) -> np.ndarray:
    if lengths is None:
        return np.ones((rows, tokens), dtype=np.int64)
    return (np.arange(tokens) < lengths[:, None]).astype(np.int64)


def _logits_of(binding: ort.IOBinding) -> np.ndarray:
    """Return the last position's logits: the last output, because the KV rows were bound first."""
    last: np.ndarray = binding.get_outputs()[-1].numpy()[:, -1].copy()
    return last


def make_session(job: Job) -> ort.InferenceSession:
    """Load the graph as the daemon does, with the attention kernel that it would choose for these rows."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.inter_op_num_threads = 1
    if job.graph or not job.optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    file = job.graph or str(Path(job.model) / "model.onnx")
    with attention_kernel(_scratch(job)):
        return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def attention_variable(job: Job) -> str:
    """Return the environment variable that says which attention kernel a session loaded for `job` gets."""
    with attention_kernel(_scratch(job)):
        return os.environ.get(ATTENTION_VARIABLE, "not set")


def _scratch(job: Job) -> int:
    return scratch_bytes(_decoder(job)["num_attention_heads"], job.largest_run, job.context)


def _decoder(job: Job) -> dict[str, Any]:
    config = json.loads((Path(job.model) / "genai_config.json").read_text(encoding="utf-8"))
    decoder: dict[str, Any] = config["model"]["decoder"]
    return decoder


def _kv_buffers(session: ort.InferenceSession, job: Job) -> dict[str, np.ndarray]:
    decoder = _decoder(job)
    shape = (job.most_streams, decoder["num_key_value_heads"], job.context, decoder["head_size"])
    pasts = (info for info in session.get_inputs() if info.name.startswith("past_key_values."))
    return {info.name: np.zeros(shape, dtype=NUMPY_TYPES[info.type]) for info in pasts}
