"""What is read from disk now, for whom, and for how long: a disk that hangs must not hang its daemon."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline.job import Job, need_of
from autoglmd.pipeline.making import Brought
from autoglmd.pipeline.preparation import Prepared, Recalled

MOST_READERS = 4
"""What is read at once, so that one slow file does not hold up the others."""


class Task(NamedTuple):
    """A job, and what a disk had for it; `None` where none was asked."""

    job: Job
    brought: Brought | None

    @property
    def brought_bytes(self) -> int:
        """Of keys and values."""
        match self.brought:
            case Recalled():
                return self.brought.conversation.kv_bytes
            case Prepared():
                return self.brought.sequence.past_bytes
            case _:
                return 0


@dataclass(slots=True, eq=False)
class Reading:
    """What a thread reads: a session, or what other prompts begin with.

    Attributes:
        need: see `need_of`.
        job: who waits for it; `None`: nobody does any more.
        until: when that one stops waiting; monotonic seconds.
        is_overdue: whether it has been read for longer than that. Its thread is left to the disk.
    """

    need: SessionKey | Prepared
    job: Job | None
    until: float
    is_overdue: bool = False


class Readings:
    """Jobs that need something read, and those for which it is being read. Its owner's lock guards it.

    Nobody waits for a disk that is known to hang: where every reader is overdue, or the one of the same session.
    """

    def __init__(self, seconds: float, most: int = MOST_READERS) -> None:
        """Make it.

        Args:
            seconds: how long a job waits for its session.
            most: readers at once, those that are overdue included.
        """
        self._seconds = seconds
        self._most = most
        self._line: deque[Job] = deque()
        self._at_work: list[Reading] = []

    @property
    def jobs(self) -> list[Job]:
        """Who waits: for a reader, or for what one reads."""
        return [*self._line, *(each.job for each in self._at_work if each.job is not None)]

    @property
    def wakes_at(self) -> float | None:
        """When the next reader is overdue, if one is at work."""
        return min((each.until for each in self._at_work if not each.is_overdue), default=None)

    def put(self, job: Job) -> None:
        """Append a job."""
        self._line.append(job)

    def discard(self, job: Job) -> bool:
        """Forget a job; its reader, if it has one, works for nobody. False: it is not here."""
        if job in self._line:
            self._line.remove(job)
            return True
        reading = next((each for each in self._at_work if each.job is job), None)
        if reading is not None:
            reading.job = None
        return reading is not None

    def begin(self, now: float, may_read: Callable[[], bool]) -> Reading | None:
        """The next one to be read, in a thread that calls `end`; `None`: none now."""
        if len(self._at_work) >= self._most or not self._line or not may_read():
            return None
        job = self._line.popleft()
        reading = Reading(need_of(job), job, now + self._seconds)
        self._at_work.append(reading)
        return reading

    def end(self, reading: Reading) -> Job | None:
        """It was read, or could not be. Returns who still waits for it."""
        self._at_work.remove(reading)
        return reading.job

    def give_up(self, now: float) -> list[Job]:
        """Those that wait no longer: their readers are overdue, or what they would need is."""
        for each in self._at_work:
            each.is_overdue = each.until <= now
        overdue = [each for each in self._at_work if each.is_overdue]
        held = {each.need for each in overdue if isinstance(each.need, SessionKey)}
        is_stuck = len(overdue) >= self._most
        hopeless = [job for job in self._line if is_stuck or (not job.prepared and job.request.session in held)]
        for job in hopeless:
            self._line.remove(job)
        left = [*(each.job for each in overdue if each.job is not None), *hopeless]
        for each in overdue:
            each.job = None
        return left
