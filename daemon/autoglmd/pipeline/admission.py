"""The door: who may come in, and who is in. Lives on the event loop."""

import asyncio
import contextlib
from dataclasses import dataclass

from autoglmd.engine.sequence import EngineEvent
from autoglmd.errors import DrainingError, QueueFullError, RequestIdInUseError
from autoglmd.pipeline.prefetch import Job
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
    """

    job: Job
    served: ServedModel
    stream: AnswerStream
    turn: OpenTurn | None = None
    sent_on: bool = False

    def answered(self, result: Prepared | Exception) -> None:
        """A prefetch thread made this of it."""
        if self.turn is not None:
            if isinstance(result, Prepared):
                self.turn.prepared(result)
            else:
                self.turn.nothing_comes()
        self.stream.put(result)

    def heard(self, event: EngineEvent) -> None:
        """The engine said this of it."""
        self.stream.put(event)
        if self.turn is not None:
            self.turn.heard(event)

    @property
    def request_id(self) -> str:
        """As the client knows it."""
        return self.job.request.request_id


class Admission:
    """Lets requests in until the daemon drains. Each `enter` is paired with one `leave`."""

    def __init__(self) -> None:
        self._open: dict[str, OpenRequest] = {}
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
        if entry.request_id in self._open:
            raise RequestIdInUseError(entry.request_id)
        try:
            entry.served.line.enter()
        except QueueFullError:
            self.refused += 1
            raise
        self._open[entry.request_id] = entry
        self._empty.clear()

    def leave(self, entry: OpenRequest) -> None:
        """A request has ended."""
        entry.served.line.leave(entry.stream.row_seconds)
        del self._open[entry.request_id]
        if not self._open:
            self._empty.set()

    def find(self, request_id: str) -> OpenRequest | None:
        """Who is in under this id, if anybody is."""
        return self._open.get(request_id)

    async def drain(self, limit_seconds: float) -> tuple[OpenRequest, ...]:
        """Let nobody in from now on, and wait until all have left. Returns who was still in at the limit."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), limit_seconds)
        return self.everyone
