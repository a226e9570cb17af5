"""OpenVINO GenAI: ContinuousBatchingPipeline, driven step by step so that every decode step is timed."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import openvino
import openvino_genai

from benchmarks.engines.base import Decoded, enough
from benchmarks.job import Job

SCHEDULER = {"max_num_batched_tokens": 4096, "dynamic_split_fuse": False, "cache_size": 4}
"""What is not OpenVINO's default. A step may compute this many tokens and cuts no prompt, so that a prompt is timed in
one step, and all prompts of a batch are computed before the first decode step; and these gigabytes of KV cache are
there from the start, where the default lets it grow while we measure. Prefix caching is off by default."""


class OpenVino:
    """One pipeline on the CPU; OpenVINO's defaults but for threads, streams, `SCHEDULER` and the job's precision."""

    def __init__(self, job: Job) -> None:
        """Load the OpenVINO folder `job.model`."""
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.max_num_seqs = job.most_streams
        for name, value in SCHEDULER.items():
            setattr(scheduler, name, value)
        properties: dict[str, object] = {"INFERENCE_NUM_THREADS": job.threads}
        if job.precision:
            properties["INFERENCE_PRECISION_HINT"] = job.precision
        self._precision = job.precision
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(job.model, scheduler, "CPU", properties)
        self._requests = 0

    def prefill(self, prompt: Sequence[int]) -> tuple[float, int]:
        """See `Engine.prefill`."""
        handle = self._add(prompt, 1)
        start = time.perf_counter()
        self._pipeline.step()
        seconds = time.perf_counter() - start
        return seconds, _read(handle)[0]

    def decode(self, prompts: Sequence[Sequence[int]], steps: int, seconds: float = math.inf) -> Decoded:
        """See `Engine.decode`. The first step computes all prompts together."""
        handles = [self._add(prompt, steps + 1) for prompt in prompts]
        self._pipeline.step()
        tokens = [_read(handle) for handle in handles]
        spent: list[float] = []
        while self._pipeline.has_non_finished_requests() and not enough(spent, seconds):
            start = time.perf_counter()
            self._pipeline.step()
            for stream, handle in enumerate(handles):
                tokens[stream] += _read(handle)
            spent.append(time.perf_counter() - start)
        self._end(handles)
        return Decoded(tuple(spent), tuple(tuple(stream) for stream in tokens))

    def _end(self, handles: Sequence[openvino_genai.GenerationHandle]) -> None:
        """Leave the pipeline empty for whatever is measured next."""
        for handle in handles:
            handle.stop()
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()

    def _add(self, prompt: Sequence[int], new_tokens: int) -> openvino_genai.GenerationHandle:
        config = openvino_genai.GenerationConfig(max_new_tokens=new_tokens, ignore_eos=True, do_sample=False)
        self._requests += 1
        ids = openvino.Tensor(np.array([prompt], dtype=np.int64))
        return self._pipeline.add_request(self._requests, ids, config)

    def facts(self) -> dict[str, str]:
        """See `Engine.facts`."""
        chosen = _default("INFERENCE_PRECISION_HINT")
        return {
            "openvino-genai": openvino_genai.__version__,
            "openvino": openvino.__version__,
            "kv": _default("KV_CACHE_PRECISION"),
            "inference precision": f"{self._precision} (default {chosen})" if self._precision else chosen,
            "dynamic quantization, group size": _default("DYNAMIC_QUANTIZATION_GROUP_SIZE"),
            **_scheduler_facts(),
        }


def _scheduler_facts() -> dict[str, str]:
    """Return what we set and what OpenVINO would have, and that prefix caching is as it would."""
    own = openvino_genai.SchedulerConfig()
    facts = {name: f"{value} (default {getattr(own, name)})" for name, value in SCHEDULER.items()}
    return {**facts, "enable_prefix_caching": f"{own.enable_prefix_caching} (default)"}


def _default(name: str) -> str:
    """Return a property of the CPU plugin as a fresh one has it: the pipeline changes none of them."""
    value = openvino.Core().get_property("CPU", name)
    return value.to_string() if isinstance(value, openvino.Type) else str(value)


def _read(handle: openvino_genai.GenerationHandle) -> list[int]:
    if not handle.can_read():
        return []
    return [token for output in handle.read().values() for token in output.generated_ids]
