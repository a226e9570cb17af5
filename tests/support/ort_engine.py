"""An engine on onnxruntime and a tiny model, without pipeline and gRPC."""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from autoglmd.config.rooms import EngineConfig
from autoglmd.engine.engine import Engine, limits_of
from autoglmd.engine.sequence import EngineEvent, SequenceRequest
from autoglmd.host.clock import SystemClock
from autoglmd.messages.generation import TokenLogprobs
from autoglmd.model.sampler import Sampling
from tests.support.event_log import LIMIT_SECONDS, EventLog
from tests.support.fixture_models import FOLDER, VOCABULARY, open_runner

Answer = list[tuple[int, TokenLogprobs | None]]


class OrtEngine:
    """A started engine and the log of its events."""

    def __init__(self, name: str, rows: int, chunk_tokens: int, kv_bytes: int, threads: int) -> None:
        runner = open_runner(FOLDER / name, rows, threads=threads)
        config = EngineConfig(prefill_chunk_tokens=chunk_tokens, kv_bytes=kv_bytes)
        self.log = EventLog()
        self.limits = limits_of(config, runner.spec)
        self.engine = Engine(name, runner, self.limits, SystemClock(), self.log)
        self.engine.start()

    def submit(self, *requests: SequenceRequest) -> None:
        """Hand over requests."""
        for each in requests:
            self.engine.submit(each)

    def cancel_when(self, name: str, holds: Callable[[EngineEvent], bool]) -> None:
        """Cancel a sequence from inside the step in which an event of that kind is told."""

        def heard(event: EngineEvent) -> None:
            if holds(event):
                self.engine.cancel(name)

        self.log.on_event = heard

    def answer(self, name: str) -> Answer:
        """Tokens and log probabilities of a sequence, exactly as emitted."""
        return [(event.token_id, event.logprobs) for event in self.log.emitted(name)]


@contextlib.contextmanager
def running(
    name: str, rows: int = 4, chunk_tokens: int = 64, kv_bytes: int = 0, threads: int = 1
) -> Iterator[OrtEngine]:
    """An engine that is stopped, and found empty, at the end of the block."""
    made = OrtEngine(name, rows, chunk_tokens, kv_bytes, threads)
    try:
        yield made
    finally:
        assert made.engine.stop(LIMIT_SECONDS)
    stats = made.engine.stats
    assert (stats.rows_in_use, stats.waiting) == (0, 0)
    assert stats.requests_started == stats.requests_finished


def prompt_of(length: int, seed: int) -> np.ndarray:
    """Noise, of ids that are not special."""
    return np.random.default_rng((seed, length)).integers(6, VOCABULARY, length)


def request(name: str, length: int, max_tokens: int, seed: int | None = None) -> SequenceRequest:
    """A greedy request, or with a seed a sampled one; its prompt follows from its length and its name's number."""
    sampling = Sampling(seed=0, temperature=0.0, logprobs=2)
    if seed is not None:
        sampling = Sampling(
            seed=seed, temperature=1.3, top_k=100, top_p=0.95, repetition_penalty=1.1, frequency_penalty=0.2, logprobs=2
        )
    return SequenceRequest(name, prompt_of(length, int(name)), max_tokens, frozenset(), sampling)


def alone(name: str, each: SequenceRequest, chunk_tokens: int) -> Answer:
    """The answer of an engine that has nothing else to do."""
    with running(name, rows=1, chunk_tokens=chunk_tokens) as engine:
        engine.submit(each)
        engine.log.wait_ended(each.sequence_id)
        return engine.answer(each.sequence_id)
