"""The prefetch threads: they load the next requests' conversations, and tokenize, while the engine computes.

At most `depth` requests are ready and without a row at any time, so what they hold is bounded. Requests beyond that
wait in the line, which the admission bounds.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from autoglmd.engine.engine import Engine
from autoglmd.engine.sequence import Admitted, Ended, EngineEvent
from autoglmd.errors import DrainingError
from autoglmd.messages import FinishReason, GenerationRequest, SessionKey
from autoglmd.pipeline.preparation import Prepared, Recalled, prepare
from autoglmd.pipeline.prompts import PromptRules

Recall = Callable[[SessionKey], Recalled]
"""Finds a conversation, as the model of this prefetcher understands it."""


@dataclass(frozen=True, slots=True)
class PrefetchLimits:
    """How far the threads may be ahead of the engine.

    Attributes:
        depth: requests that are ready and without a row.
        past_bytes: keys and values that those bring along, beyond which none is looked at before one has left.
    """

    depth: int
    threads: int
    past_bytes: int


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
    answer: Callable[[Prepared | Exception], None]
    cancelled: FinishReason | None = None


class Prefetcher:
    """Turns jobs into sequences and hands them to one engine. Its methods are safe from any thread."""

    def __init__(self, rules: PromptRules, recall: Recall, limits: PrefetchLimits, name: str) -> None:
        self._rules = rules
        self._recall = recall
        self._depth = limits.depth
        self._past_bytes = limits.past_bytes
        # Those of sessions have a line and a thread of their own: a slow disk holds up nobody else.
        self._lines: dict[bool, deque[Job]] = {False: deque(), True: deque()}
        self._in_hand = 0
        # Of each, the bytes of keys and values that it brings along.
        self._ready: dict[str, int] = {}
        self._stopping = False
        self._changed = threading.Condition()
        self._engine: Engine | None = None
        names = [
            *((f"prefetch-{name}-{index}", False) for index in range(limits.threads)),
            (f"prefetch-{name}-s", True),
        ]
        self._threads = [
            threading.Thread(target=self._work, name=thread, args=(sessions,), daemon=True)
            for thread, sessions in names
        ]

    @property
    def waiting(self) -> int:
        """Requests without a row: in the line, being tokenized, or ready."""
        with self._changed:
            return sum(map(len, self._lines.values())) + self._in_hand + len(self._ready)

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
                self._line_of(job).append(job)
                self._changed.notify_all()
        if not taken:
            job.answer(DrainingError())

    def discard(self, job: Job) -> bool:
        """Forget a job that nobody waits for, prompt and all. False: it has left the line, and the engine ends it."""
        with self._changed:
            waited = job in self._line_of(job)
            if waited:
                self._line_of(job).remove(job)
        return waited

    def observe(self, events: Iterable[EngineEvent]) -> None:
        """See what the engine did: a sequence that has a row, or has ended, makes place for the next."""
        left = {event.sequence_id for event in events if isinstance(event, Admitted | Ended)}
        with self._changed:
            for sequence_id in left:
                self._ready.pop(sequence_id, None)
            self._changed.notify_all()

    def stop(self, timeout_seconds: float) -> None:
        """Let the threads end. Jobs that are still in the line are answered with DrainingError."""
        with self._changed:
            self._stopping = True
            left = [job for line in self._lines.values() for job in line]
            for line in self._lines.values():
                line.clear()
            self._changed.notify_all()
        for job in left:
            job.answer(DrainingError())
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _line_of(self, job: Job) -> deque[Job]:
        return self._lines[job.request.session is not None]

    def _work(self, sessions: bool) -> None:
        while (job := self._take(self._lines[sessions])) is not None:
            self._hand_over(job, self._prepare(job))

    def _take(self, line: deque[Job]) -> Job | None:
        """The next job, once there is one and a place for it; `None` at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or (line and self._has_place()))
            if self._stopping:
                return None
            self._in_hand += 1
            return line.popleft()

    def _has_place(self) -> bool:
        brought = sum(self._ready.values())
        return self._in_hand + len(self._ready) < self._depth and (not brought or brought < self._past_bytes)

    def _prepare(self, job: Job) -> Prepared | Exception:
        try:
            session = job.request.session
            recalled = None if session is None else self._recall(session)
            return prepare(job.request, job.sequence_id, self._rules, recalled)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's answer
            return error
        except BaseException as error:  # noqa: BLE001 - a tokenizer in Rust panics with one; the next job is not to blame
            failure = RuntimeError("tokenizing broke down")
            failure.__cause__ = error
            return failure

    def _hand_over(self, job: Job, result: Prepared | Exception) -> None:
        engine = self._engine
        assert engine is not None
        with self._changed:
            self._in_hand -= 1
            if isinstance(result, Prepared):
                self._ready[job.sequence_id] = result.sequence.past_bytes
            self._changed.notify_all()
        job.answer(result)
        if isinstance(result, Prepared):
            engine.submit(result.sequence)
            # Cancelled while we tokenized: the engine may have been told before it knew the sequence. Tell it again.
            if job.cancelled is not None:
                engine.cancel(job.sequence_id, job.cancelled)
