"""The prefetch threads: they tokenize the next requests while the engine computes the running ones.

At most `depth` requests are ready and without a row at any time, so what they hold is bounded. Requests beyond that
wait in the line, which the admission bounds.
"""

import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from autoglmd.engine.engine import Engine
from autoglmd.engine.sequence import Admitted, Ended, EngineEvent, SequenceRequest
from autoglmd.errors import DrainingError
from autoglmd.messages import FinishReason, GenerationRequest
from autoglmd.pipeline.prompts import PromptRules, to_sequence


@dataclass(slots=True)
class Job:
    """A request on its way to the engine.

    Attributes:
        sequence_id: what the engine calls it; the client's request_id may be used again as soon as it is free.
        answer: called in the prefetch thread, once, with what the request became or why it cannot be served.
        cancelled: set by the event loop at any time, and before it tells the engine.
        abandoned: nobody listens any more.
    """

    request: GenerationRequest
    sequence_id: str
    answer: Callable[[SequenceRequest | Exception], None]
    cancelled: FinishReason | None = None
    abandoned: bool = False


class Prefetcher:
    """Turns jobs into sequences and hands them to one engine."""

    def __init__(self, rules: PromptRules, depth: int, threads: int, name: str) -> None:
        self._rules = rules
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._places = threading.Semaphore(depth)
        self._ready: set[str] = set()
        self._stopping = False
        self._engine: Engine | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"prefetch-{name}-{index}", daemon=True)
            for index in range(threads)
        ]

    def start(self, engine: Engine) -> None:
        """Start the threads; what they prepare goes to this engine."""
        self._engine = engine
        for thread in self._threads:
            thread.start()

    def put(self, job: Job) -> None:
        """Append a job. Never blocks; the admission bounds how many there are."""
        self._jobs.put(job)

    def observe(self, events: Iterable[EngineEvent]) -> None:
        """See what the engine did: a sequence that has a row, or has ended, makes place for the next."""
        for event in events:
            if isinstance(event, Admitted | Ended) and event.sequence_id in self._ready:
                self._ready.discard(event.sequence_id)
                self._places.release()

    def stop(self, timeout_seconds: float) -> None:
        """Let the threads end. Jobs that are still in the line are answered with DrainingError."""
        self._stopping = True
        for _ in self._threads:
            self._jobs.put(None)
            self._places.release()
        for thread in self._threads:
            thread.join(timeout_seconds)

    def _work(self) -> None:
        while True:
            self._places.acquire()
            job = self._jobs.get()
            if job is None:
                return
            if job.abandoned or not self._prepare(job):
                self._places.release()

    def _prepare(self, job: Job) -> bool:
        """Returns whether the request is with the engine now."""
        engine = self._engine
        assert engine is not None
        if self._stopping:
            job.answer(DrainingError())
            return False
        try:
            sequence = to_sequence(job.request, job.sequence_id, self._rules)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's answer
            job.answer(error)
            return False
        self._ready.add(sequence.sequence_id)
        job.answer(sequence)
        engine.submit(sequence)
        # Cancelled while we tokenized: the engine may have been told before it knew the sequence. Tell it again.
        if job.cancelled is not None:
            engine.cancel(sequence.sequence_id, job.cancelled)
        return True
