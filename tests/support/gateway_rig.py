"""A gateway over one fake model of two rows and four places, whose engine a test can stop in its tracks."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoglmd.config.rooms import SessionsConfig
from autoglmd.host.clock import SystemClock
from autoglmd.messages.generation import Finished, GenerationRequest, SamplingParams, Started, StreamEvent, TokenPrompt
from autoglmd.messages.status import DaemonStatus
from autoglmd.pipeline.catalog import Catalog
from autoglmd.pipeline.gateway import Gateway
from autoglmd.pipeline.router import Router
from autoglmd.pipeline.session_book import open_sessions
from tests.support.fake_served import make_runner, serve

LIMIT_SECONDS = 10.0
PROMPT = (7, 8, 9)


def no_status(_gateway: Gateway) -> DaemonStatus:
    """The status is the app's; nobody asks for it here."""
    raise NotImplementedError


class GatewayRig:
    """Everything between the edge and a model."""

    def __init__(self, folder: Path | None = None) -> None:
        """With a folder for conversations, or without sessions."""
        clock = SystemClock()
        self.book = None if folder is None else open_sessions(folder, SessionsConfig(), clock)
        self.router = Router(asyncio.get_running_loop())
        self.runner = make_runner()
        self.served = serve("tiny", self.runner, self.router, clock, book=self.book)
        self.catalog = Catalog({"tiny": "", "other": ""}, "tiny")
        self.catalog.add(self.served)
        self.gateway = Gateway(self.catalog, self.book, self.router, clock, no_status)  # type: ignore[arg-type]  # no book: no session

    def request(self, name: str, max_tokens: int | None = 5, **changes: Any) -> GenerationRequest:
        """A request with three prompt tokens."""
        arrived = SystemClock().monotonic()
        made = GenerationRequest(
            name, "", TokenPrompt(PROMPT), SamplingParams(), max_tokens, (), False, None, arrived, "t"
        )
        return replace(made, **changes)

    async def read(self, request: GenerationRequest) -> list[StreamEvent]:
        """A whole stream."""
        async with asyncio.timeout(LIMIT_SECONDS):
            return [event async for event in self.gateway.generate(request)]

    def start(self, name: str, max_tokens: int = 100) -> "asyncio.Task[list[StreamEvent]]":
        """A stream in the background."""
        return asyncio.create_task(self.read(self.request(name, max_tokens)))

    async def hold(self) -> None:
        """Stop the engine in its next run. Only with something to run."""
        self.runner.reached.clear()
        self.runner.gate.clear()

    async def wait_held(self) -> None:
        """Wait until it is there."""
        assert await asyncio.to_thread(self.runner.reached.wait, LIMIT_SECONDS)

    async def settle(self) -> None:
        """Until the engine has ended everyone."""
        async with asyncio.timeout(LIMIT_SECONDS):
            stats = self.served.engine.stats
            while stats.requests_finished < stats.requests_started:
                stats = self.served.engine.stats
                # The engine's thread has no event for the loop.
                await asyncio.sleep(0)

    def assert_empty(self) -> None:
        """Nobody is open, and the door, the router and the line know of nobody."""
        assert self.gateway.admission.count == 0
        assert self.router._listeners == {}
        assert self.served.line._open == 0


def end_of(events: list[StreamEvent]) -> Finished:
    """The one Finished of a stream that began with Started."""
    assert isinstance(events[0], Started)
    assert [isinstance(event, Started | Finished) for event in events].count(True) == 2
    assert isinstance(events[-1], Finished)
    return events[-1]
