"""The prefetch threads: they tokenize the next requests while the engine computes the running ones.

At most `depth` requests are ready and without a row at any time, so what they hold is bounded. Requests beyond that
wait in the line, which the admission bounds.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from autoglmd.engine.engine import Engine
from autoglmd.engine.sequence import Admitted, Ended, EngineEvent, SequenceRequest
from autoglmd.errors import DrainingError
from autoglmd.messages import FinishReason, GenerationRequest
from autoglmd.pipeline.prompts import PromptRules, to_sequence


@dataclass(slots=True, eq=False)
class Job:
    """A request on its way to the engine.

    Attributes:
        sequence_id: what the engine calls it; the client's request_id may be used again as soon as it is free.
        answer: called once, in a prefetch thread or the one that stops it, with what the request became or why it
            cannot be served.
        cancelled: set by the event loop at any time, and before it tells the engine.
    """

    request: GenerationRequest
    sequence_id: str
    answer: Callable[[SequenceRequest | Exception], None]
    cancelled: FinishReason | None = None


class Prefetcher:
    """Turns jobs into sequences and hands them to one engine. Its methods are safe from any thread."""

    def __init__(self, rules: PromptRules, depth: int, threads: int, name: str) -> None:
        self._rules = rules
        self._depth = depth
        self._line: deque[Job] = deque()
        self._in_hand = 0
        self._ready: set[str] = set()
        self._stopping = False
        self._changed = threading.Condition()
        self._engine: Engine | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"prefetch-{name}-{index}", daemon=True)
            for index in range(threads)
        ]

    @property
    def waiting(self) -> int:
        """Requests without a row: in the line, being tokenized, or ready."""
        with self._changed:
            return len(self._line) + self._in_hand + len(self._ready)

    @property
    def is_whole(self) -> bool:
        """Whether no thread has died."""
        return all(thread.is_alive() for thread in self._threads)

    def start(self, engine: Engine) -> None:
        """Start the threads; what they prepare goes to this engine."""
        self._engine = engine
        for thread in self._threads:
            thread.start()

    def put(self, job: Job) -> None:
        """Append a job. Never blocks; the admission bounds how many there are."""
        with self._changed:
            taken = not self._stopping
            if taken:
                self._line.append(job)
                self._changed.notify_all()
        if not taken:
            job.answer(DrainingError())

    def discard(self, job: Job) -> None:
        """Forget a job that nobody waits for, prompt and all. One that is no longer in the line, the engine ends."""
        with self._changed, contextlib.suppress(ValueError):
            self._line.remove(job)

    def observe(self, events: Iterable[EngineEvent]) -> None:
        """See what the engine did: a sequence that has a row, or has ended, makes place for the next."""
        left = {event.sequence_id for event in events if isinstance(event, Admitted | Ended)}
        with self._changed:
            self._ready -= left
            self._changed.notify_all()

    def stop(self, timeout_seconds: float) -> None:
        """Let the threads end. Jobs that are still in the line are answered with DrainingError."""
        with self._changed:
            self._stopping = True
            left = tuple(self._line)
            self._line.clear()
            self._changed.notify_all()
        for job in left:
            job.answer(DrainingError())
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (job := self._take()) is not None:
            self._hand_over(job, self._prepare(job))

    def _take(self) -> Job | None:
        """The next job, once there is one and a place for it; `None` at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or (self._line and self._has_place()))
            if self._stopping:
                return None
            self._in_hand += 1
            return self._line.popleft()

    def _has_place(self) -> bool:
        return self._in_hand + len(self._ready) < self._depth

    def _prepare(self, job: Job) -> SequenceRequest | Exception:
        try:
            return to_sequence(job.request, job.sequence_id, self._rules)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's answer
            return error
        except BaseException as error:  # noqa: BLE001 - a tokenizer in Rust panics with one; the next job is not to blame
            failure = RuntimeError("tokenizing broke down")
            failure.__cause__ = error
            return failure

    def _hand_over(self, job: Job, result: SequenceRequest | Exception) -> None:
        engine = self._engine
        assert engine is not None
        with self._changed:
            self._in_hand -= 1
            if isinstance(result, SequenceRequest):
                self._ready.add(result.sequence_id)
            self._changed.notify_all()
        job.answer(result)
        if isinstance(result, SequenceRequest):
            engine.submit(result)
            # Cancelled while we tokenized: the engine may have been told before it knew the sequence. Tell it again.
            if job.cancelled is not None:
                engine.cancel(result.sequence_id, job.cancelled)
