"""The door: who may come in, and who is in. Lives on the event loop."""

import asyncio
import contextlib
from dataclasses import dataclass

from autoglmd.engine.sequence import EngineEvent, Kept
from autoglmd.errors.availability import DrainingError, QueueFullError
from autoglmd.errors.request import RequestIdInUseError
from autoglmd.messages.generation import ResumptionRequest
from autoglmd.pipeline.job import Job
from autoglmd.pipeline.preparation import Prepared
from autoglmd.pipeline.served import ServedModel
from autoglmd.pipeline.stream import AnswerStream
from autoglmd.pipeline.turn import OpenTurn


@dataclass(slots=True, eq=False)
class OpenRequest:
    """A request that was let in: whom to tell when it is to end, and who hears what becomes of it.

    Attributes:
        turn: its place in a session; `None` without one.
        sent_on: whether it has left for the engine, as it does once its session is free.
        place: what the door calls it; empty for its request's id. One that takes an answer up has a name of its own,
            since the answer's first reader may not have left yet.
    """

    job: Job
    served: ServedModel
    stream: AnswerStream
    turn: OpenTurn | None = None
    sent_on: bool = False
    place: str = ""

    def answered(self, result: Prepared | Exception) -> None:
        """A prefetch thread made this of it."""
        # The reader first: whatever a session makes of it, somebody waits for this.
        self.stream.put(result)
        if self.turn is not None:
            if isinstance(result, Prepared):
                self.turn.prepared(result)
            else:
                self.turn.nothing_comes()

    def heard(self, event: EngineEvent) -> None:
        """The engine said this of it."""
        if not isinstance(event, Kept):
            self.stream.put(event)
        if self.turn is not None:
            self.turn.heard(event)

    @property
    def request_id(self) -> str:
        """As the client knows it."""
        return self.job.request.request_id

    @property
    def tenant(self) -> str | None:
        """Whose request it is; `None` where nobody knows."""
        request = self.job.request
        return request.tenant if request.session is None else request.session.tenant


class Admission:
    """Lets requests in until the daemon drains. Each `enter` is paired with one `leave`."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str | None], OpenRequest] = {}
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()
        self.refused = 0

    @property
    def is_draining(self) -> bool:
        """Whether nobody is let in any more."""
        return self._draining

    @property
    def count(self) -> int:
        """How many are in, running or waiting."""
        return len(self._open)

    @property
    def everyone(self) -> tuple[OpenRequest, ...]:
        """Who is in."""
        return tuple(self._open.values())

    def enter(self, entry: OpenRequest) -> None:
        """Let a request in.

        Raises:
            DrainingError: the daemon is stopping.
            RequestIdInUseError: a running request has this id.
            QueueFullError: the line is full.
        """
        if self._draining:
            raise DrainingError
        if not entry.place and self.find(entry.request_id, entry.tenant) is not None:
            raise RequestIdInUseError(entry.request_id)
        try:
            entry.served.line.enter()
        except QueueFullError:
            self.refused += 1
            raise
        self._open[_place_of(entry)] = entry
        self._empty.clear()

    def leave(self, entry: OpenRequest) -> None:
        """A request has ended."""
        entry.served.line.leave(entry.stream.row_seconds)
        del self._open[_place_of(entry)]
        if not self._open:
            self._empty.set()

    def find(self, request_id: str, tenant: str | None) -> OpenRequest | None:
        """Which of a tenant's requests is in under this id, if one is: the last that came."""
        name = (request_id, tenant)
        return next((entry for entry in reversed(self.everyone) if (entry.request_id, entry.tenant) == name), None)

    def readers(self, asked: ResumptionRequest) -> tuple[OpenRequest, ...]:
        """Who reads the answer that is asked for by its request's id, or waits for it."""
        return tuple(
            entry
            for entry in self.everyone
            if (entry.job.request.session, entry.request_id) == (asked.session, asked.request_id)
        )

    async def drain(self, limit_seconds: float) -> tuple[OpenRequest, ...]:
        """Let nobody in from now on, and wait until all have left. Returns who was still in at the limit."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), limit_seconds)
        return self.everyone


def _place_of(entry: OpenRequest) -> tuple[str, str | None]:
    """What it is known by here: its request's id, or a place of its own where others may read the same answer."""
    return entry.place or entry.request_id, entry.tenant
