"""The prefetch threads: they find the next requests' conversations, and tokenize, while the engine computes.

At most `depth` requests are ready and without a row at any time, so what they hold is bounded. Requests beyond that
wait in the line, which the admission bounds.

A conversation in memory is taken up at once. One that must be read is read in a thread of its own, a few at a time, and
so is what a prompt has in common with others on disk. Who waits for that takes no place of those that are ready, so who
needs no disk goes past; and waits for a limited time.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from autoglmd.engine.engine import Engine
from autoglmd.engine.sequence import Admitted, Ended, EngineEvent
from autoglmd.errors.availability import DrainingError
from autoglmd.messages.sessions import CacheTier
from autoglmd.pipeline.job import Job
from autoglmd.pipeline.making import Brought, Maker, attempted
from autoglmd.pipeline.preparation import Prepared
from autoglmd.pipeline.prompts import PromptRules
from autoglmd.pipeline.readings import Reading, Readings, Task
from autoglmd.pipeline.recall import Recall

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PrefetchLimits:
    """How far the threads may be ahead of the engine.

    Attributes:
        depth: requests that are ready and without a row.
        past_bytes: keys and values that those bring along, beyond which none is looked at before one has left.
        recall_seconds: how long a request waits for a disk.
    """

    depth: int
    threads: int
    past_bytes: int
    recall_seconds: float


class Prefetcher:
    """Turns jobs into sequences and hands them to one engine. Its methods are safe from any thread."""

    def __init__(
        self,
        rules: PromptRules,
        recall: Recall,
        limits: PrefetchLimits,
        name: str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it; `start` starts its threads.

        Args:
            rules: what the model makes of prompts.
            recall: finds conversations, and what prompts have in common.
            limits: how far it may be ahead of the engine.
            name: the model's, for the threads.
            now: monotonic seconds.
        """
        self._name = name
        self._now = now
        self._maker = Maker(rules, recall)
        self._sharing = recall.sharing
        self._depth = limits.depth
        self._past_bytes = limits.past_bytes
        self._line: deque[Job] = deque()
        self._readings = Readings(limits.recall_seconds)
        # What they waited for was read, or given up.
        self._found: deque[Task] = deque()
        # Said once, until something was read in time.
        self._is_slow = False
        self._in_hand = 0
        # Of each, the bytes of keys and values that it brings along.
        self._ready: dict[str, int] = {}
        self._stopping = False
        self._changed = threading.Condition()
        self._engine: Engine | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"prefetch-{name}-{index}", daemon=True)
            for index in range(limits.threads)
        ]

    @property
    def waiting(self) -> int:
        """Requests without a row: in the line, being tokenized, or ready."""
        with self._changed:
            return len(self._jobs) + self._in_hand + len(self._ready)

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

    def discard(self, job: Job) -> bool:
        """Forget a job that nobody waits for, prompt and all. False: it has left the line, and the engine ends it."""
        with self._changed:
            found = next((task for task in self._found if task.job is job), None)
            if found is not None:
                self._found.remove(found)
            elif job in self._line:
                self._line.remove(job)
            else:
                return self._readings.discard(job)
        return True

    def observe(self, events: Iterable[EngineEvent]) -> None:
        """See what the engine did: a sequence that has a row, or has ended, makes place for the next."""
        events = tuple(events)
        if self._sharing is not None:
            self._sharing.observe(events)
        left = {event.sequence_id for event in events if isinstance(event, Admitted | Ended)}
        with self._changed:
            for sequence_id in left:
                self._ready.pop(sequence_id, None)
            self._changed.notify_all()

    def stop(self, timeout_seconds: float) -> None:
        """Let the threads end. Jobs that are still in the line are answered with DrainingError."""
        with self._changed:
            self._stopping = True
            left = self._jobs
            self._line.clear()
            self._found.clear()
            for job in self._readings.jobs:
                self._readings.discard(job)
            self._changed.notify_all()
        for job in left:
            job.answer(DrainingError())
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def _jobs(self) -> list[Job]:
        """Who is on the way to being tokenized."""
        return [*self._line, *self._readings.jobs, *(task.job for task in self._found)]

    def _work(self) -> None:
        while (task := self._take()) is not None:
            result = self._maker.at_once(*task)
            if result is None:
                self._have_read(task.job)
            else:
                self._hand_over(task.job, attempted(partial(self._placed, result)))

    def _take(self) -> Task | None:
        """The next job, once there is one and a place for it; `None` at the end."""
        while True:
            with self._changed:
                if self._stopping:
                    return None
                is_news = self._give_up()
                begun = self._begin_readings()
                task = None if is_news or begun else self._next()
                if task is not None:
                    return task
                if not (is_news or begun):
                    wakes_at = self._readings.wakes_at
                    self._changed.wait(None if wakes_at is None else max(0.0, wakes_at - self._now()))
            # Not with the lock, which the engine's thread waits for.
            if is_news:
                log.warning("a disk does not answer in time; requests go on without what is there")
            self._start(begun)

    def _next(self) -> Task | None:
        if not (self._has_place() and (self._found or self._line)):
            return None
        self._in_hand += 1
        return self._found.popleft() if self._found else Task(self._line.popleft(), None)

    def _has_place(self) -> bool:
        brought = sum(self._ready.values())
        return self._in_hand + len(self._ready) < self._depth and (not brought or brought < self._past_bytes)

    def _may_read(self) -> bool:
        """What was read and waits for a place is bounded, like what is ready."""
        brought = sum(task.brought_bytes for task in self._found) + sum(self._ready.values())
        return len(self._found) < self._depth and (not brought or brought < self._past_bytes)

    def _have_read(self, job: Job) -> None:
        """Have what a job in hand lacks read; it comes back as a task, or is taken away."""
        with self._changed:
            self._in_hand -= 1
            taken = not self._stopping
            if taken:
                self._readings.put(job)
                self._changed.notify_all()
        if not taken:
            job.answer(DrainingError())

    def _begin_readings(self) -> list[tuple[Reading, Job]]:
        """What is to be read from now on, and for whom; see `_start`."""
        begun: list[tuple[Reading, Job]] = []
        while (reading := self._readings.begin(self._now(), self._may_read)) is not None:
            assert reading.job is not None
            begun.append((reading, reading.job))
        return begun

    def _start(self, begun: list[tuple[Reading, Job]]) -> None:
        for reading, job in begun:
            thread = threading.Thread(target=self._read, args=(reading, job), name=f"read-{self._name}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                with self._changed:
                    self._ended(reading, error)
                    self._changed.notify_all()

    def _read(self, reading: Reading, job: Job) -> None:
        # What was needed then: who was given up meanwhile may need something else now.
        brought = self._maker.from_disk(job, reading.need)
        with self._changed:
            self._ended(reading, brought)
            # Prefetch threads may be deep in somebody's prompt.
            begun = [] if self._stopping else self._begin_readings()
            self._changed.notify_all()
        self._start(begun)

    def _ended(self, reading: Reading, brought: Brought) -> None:
        job = self._readings.end(reading)
        if isinstance(reading.need, Prepared) and isinstance(brought, Exception):
            # What others begin with alike is a help, and no condition.
            brought = reading.need
        if job is not None:
            self._is_slow = False
            self._found.append(Task(job, brought))

    def _give_up(self) -> bool:
        """Let those go on who waited for too long. True: the disk is slow, and was not before."""
        given_up = self._readings.give_up(self._now())
        self._found.extend(Task(job, self._maker.without_disk(job)) for job in given_up)
        is_news = bool(given_up) and not self._is_slow
        self._is_slow = self._is_slow or is_news
        return is_news

    def _placed(self, result: Prepared | Exception) -> Prepared | Exception:
        """With where its past is: the engine may have it in a row."""
        engine = self._engine
        assert engine is not None
        if isinstance(result, Prepared) and engine.is_hot(result.sequence):
            return replace(result, cache=replace(result.cache, tier=CacheTier.ROW))
        return result

    def _hand_over(self, job: Job, result: Prepared | Exception) -> None:
        engine = self._engine
        assert engine is not None
        with self._changed:
            self._in_hand -= 1
            if isinstance(result, Prepared):
                self._ready[job.sequence_id] = result.sequence.past_bytes
                if self._sharing is not None:
                    self._sharing.expect(result)
            self._changed.notify_all()
        job.answer(result)
        if isinstance(result, Prepared):
            engine.submit(result.sequence)
            # Cancelled while we tokenized: the engine may have been told before it knew the sequence. Tell it again.
            if job.cancelled is not None:
                engine.cancel(job.sequence_id, job.cancelled)
