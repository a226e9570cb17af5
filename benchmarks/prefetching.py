"""Requests from text to first tokens: prepared by the computing thread, or by one beside it.

What preparing is, is the daemon's own: chat template, tokenizer, checks (`pipeline.preparation.prepare`).

    python -m benchmarks.prefetching JOB.json RESULT.json
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from autoglmd.messages.generation import ChatPrompt, GenerationRequest, Message, SamplingParams, TextPrompt
from autoglmd.model.bundle import read_bundle
from autoglmd.model.tokenizer import load_tokenizer
from autoglmd.pipeline.preparation import prepare
from autoglmd.pipeline.prompts import PromptRules
from benchmarks import job as jobs
from benchmarks.engines.onnx_loop import OnnxLoop
from benchmarks.job import Job

REQUESTS = 24
OUTPUT_TOKENS = 4
DEPTH = 16
SENTENCE = "把客厅的灯调到50%,然后打开卧室的空调。Turn off the lights in the kitchen, please. "


def rules_of(job: Job) -> PromptRules:
    """Return what the daemon would apply to prompts for this bundle."""
    bundle = read_bundle(Path(job.model))
    tokenizer, template = load_tokenizer(bundle.folder, bundle.vocab_size)
    limits = {"context_tokens": job.context, "kv_tokens": job.context, "max_tokens": OUTPUT_TOKENS}
    eos, vocab, defaults = frozenset(bundle.eos_ids), bundle.vocab_size, bundle.defaults
    return PromptRules(tokenizer, template, vocab, eos_ids=eos, defaults=defaults, **limits)


def requests(rules: PromptRules, job: Job) -> list[GenerationRequest]:
    """Return requests whose prompts take at most half of the context, longest first growing by a sentence each."""
    texts = [f"{number}. " + SENTENCE * (1 + number % 8) for number in range(REQUESTS)]
    room = job.context - OUTPUT_TOKENS
    fitting = [text for text in texts if len(rules.tokenizer.encode(text, add_prefix=True)) < room // 2]
    return [_request(str(number), text, rules) for number, text in enumerate(fitting)]


def _request(name: str, text: str, rules: PromptRules) -> GenerationRequest:
    prompt = ChatPrompt((Message("user", text),)) if rules.template else TextPrompt(text)
    return GenerationRequest(name, "", prompt, SamplingParams(), OUTPUT_TOKENS, (), True, None, 0.0, "")


def serial(asked: Iterable[GenerationRequest], rules: PromptRules) -> Iterator[np.ndarray]:
    """Prepare each request when it is its turn."""
    return (prepare(request, request.request_id, rules, None).sequence.prompt_ids for request in asked)


def decoupled(asked: Iterable[GenerationRequest], rules: PromptRules) -> Iterator[np.ndarray]:
    """Prepare in a thread, at most `DEPTH` ahead."""
    ready: queue.Queue[np.ndarray | None] = queue.Queue(DEPTH)

    def work() -> None:
        for ids in serial(asked, rules):
            ready.put(ids)
        ready.put(None)

    threading.Thread(target=work, daemon=True).start()
    while (ids := ready.get()) is not None:
        yield ids


def compute(engine: OnnxLoop, prompts: Iterable[np.ndarray]) -> float:
    """Prefill and decode each prompt; return the seconds for all."""
    start = time.perf_counter()
    for ids in prompts:
        engine.decode([ids.tolist()], OUTPUT_TOKENS - 1)
    return time.perf_counter() - start


def main() -> None:
    """Take turns and write requests per second, and what preparing alone costs."""
    job = replace(jobs.read(Path(sys.argv[1])), prompt_tokens=1000, decode_tokens=OUTPUT_TOKENS)
    rules, engine = rules_of(job), OnnxLoop(job)
    asked = requests(rules, job)
    compute(engine, serial(asked[:4], rules))
    seconds: dict[str, float] = {"serial": 0.0, "decoupled": 0.0}
    for way in (serial, decoupled, decoupled, serial):  # in this order a drift favours neither
        seconds[way.__name__] += compute(engine, way(asked, rules))
    start = time.perf_counter()
    tokens = sum(len(ids) for ids in serial(asked, rules))
    preparing = time.perf_counter() - start
    result = {name: 2 * len(asked) / spent for name, spent in seconds.items()}
    result |= {"preparing_ms": 1000 * preparing / len(asked), "prompt_tokens": tokens / len(asked)}
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
