"""llama.cpp through llama-cpp-python's low-level bindings: `llama_batch` with one sequence id per stream."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np

from benchmarks.engines.base import Decoded, enough
from benchmarks.job import Job

BATCH_TOKENS = 2048
"""llama.cpp's own default for n_batch; its physical batch stays at its default of 512."""


class LlamaCpp:
    """One model and one context with a KV cache for every stream."""

    def __init__(self, job: Job) -> None:
        """Load the GGUF file `job.model` with llama.cpp's defaults but for threads and sequences."""
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_load_from_file(job.model.encode(), llama_cpp.llama_model_default_params())
        if not model:
            raise RuntimeError(f"llama.cpp could not load {job.model}")
        self._context = llama_cpp.llama_init_from_model(model, _context_params(job))
        self._vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(BATCH_TOKENS, 0, 1)

    def prefill(self, prompt: Sequence[int]) -> tuple[float, int]:
        """See `Engine.prefill`."""
        llama_cpp.llama_memory_clear(self._memory, True)
        start = time.perf_counter()
        token = self._run([(token, position, 0) for position, token in enumerate(prompt)], [len(prompt) - 1])[0]
        return time.perf_counter() - start, token

    def decode(self, prompts: Sequence[Sequence[int]], steps: int, seconds: float = math.inf) -> Decoded:
        """See `Engine.decode`."""
        llama_cpp.llama_memory_clear(self._memory, True)
        first = [self._prefill_stream(prompt, stream) for stream, prompt in enumerate(prompts)]
        tokens, spent = [first], list[float]()
        everyone = list(range(len(prompts)))
        while len(spent) < steps and not enough(spent, seconds):
            start = time.perf_counter()
            entries = [(token, len(prompts[0]) + len(spent), stream) for stream, token in enumerate(tokens[-1])]
            tokens.append(self._run(entries, everyone))
            spent.append(time.perf_counter() - start)
        return Decoded(tuple(spent), tuple(zip(*tokens, strict=True)))

    def _prefill_stream(self, prompt: Sequence[int], stream: int) -> int:
        entries = [(token, position, stream) for position, token in enumerate(prompt)]
        return self._run(entries, [len(prompt) - 1])[0]

    def _run(self, entries: Sequence[tuple[int, int, int]], wanted: Sequence[int]) -> list[int]:
        """Compute (token, position, stream) entries; return the greedy token after each `wanted` entry."""
        batch = self._fill(entries, set(wanted))
        status = llama_cpp.llama_decode(self._context, batch)
        if status:
            raise RuntimeError(f"llama_decode returned {status}")
        return [int(self._logits(index).argmax()) for index in wanted]

    def _fill(self, entries: Sequence[tuple[int, int, int]], wanted: set[int]) -> Any:
        batch = self._batch
        batch.n_tokens = len(entries)
        for index, (token, position, stream) in enumerate(entries):
            batch.token[index], batch.pos[index] = token, position
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, stream
            batch.logits[index] = index in wanted
        return batch

    def _logits(self, index: int) -> np.ndarray:
        pointer = llama_cpp.llama_get_logits_ith(self._context, index)
        return np.ctypeslib.as_array(pointer, shape=(self._vocab,))

    def facts(self) -> dict[str, str]:
        """See `Engine.facts`."""
        return {
            "llama-cpp-python": llama_cpp.__version__,
            "llama.cpp features": llama_cpp.llama_print_system_info().decode(),
            "kv": "f16",
        }


def _context_params(job: Job) -> Any:
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = job.context * job.most_streams
    params.n_seq_max = job.most_streams
    params.n_batch = BATCH_TOKENS
    params.n_threads = params.n_threads_batch = job.threads
    return params
