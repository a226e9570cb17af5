"""A daemon's inside over a folder, for tests of conversations."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoglmd.config.rooms import EngineConfig, ModelConfig, SessionsConfig
from autoglmd.host.clock import SystemClock
from autoglmd.messages.generation import (
    ChatPrompt,
    GenerationRequest,
    Message,
    Prompt,
    ResumptionRequest,
    SamplingParams,
    Started,
    StreamEvent,
    TokenText,
)
from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline.catalog import Catalog
from autoglmd.pipeline.gateway import Gateway
from autoglmd.pipeline.loading import LoadContext, load_model
from autoglmd.pipeline.model_preparer import Preparer
from autoglmd.pipeline.router import Router
from autoglmd.pipeline.session_book import open_sessions
from tests.support.fixture_models import FOLDER
from tests.support.gateway_rig import no_status

LIMIT_SECONDS = 60.0
GREEDY = SamplingParams(temperature=0.0)
SEEDED = SamplingParams(temperature=1.3, seed=5)
USUAL = SessionsConfig()
NO_MEMORY = SessionsConfig(memory_bytes=0)


class Box:
    """A daemon's inside over a folder; a second one over the same folder is the daemon after a restart."""

    def __init__(self, folder: Path, name: str, sessions: SessionsConfig = USUAL, **engine: int) -> None:
        router = Router(asyncio.get_running_loop())
        self.stopped = False
        self.book = open_sessions(folder / "sessions", sessions, SystemClock())
        context = LoadContext(
            SystemClock(),
            router,
            self.book,
            sessions.past_bytes,
            1,
            folder,
            Preparer(),
            lambda _name, _state: None,
        )
        settings = EngineConfig(**{"rows": 4, "context_tokens": 512, "prefill_chunk_tokens": 32, **engine})
        model = ModelConfig(str(FOLDER / name), "cpu", prepare=False, engine=settings)
        self.served = load_model("tiny", model, context)
        catalog = Catalog({"tiny": ""}, "tiny")
        catalog.add(self.served)
        self.gateway = Gateway(catalog, self.book, router, SystemClock(), no_status)

    async def ask(self, prompt: Prompt | str, session: str = "", **changes: Any) -> list[StreamEvent]:
        """A whole stream; a text is what a user says in a chat."""
        async with asyncio.timeout(LIMIT_SECONDS):
            return [event async for event in self.gateway.generate(self.request(prompt, session, **changes))]

    async def resume(self, session: str, after_token: int = 0, request_id: str = "") -> list[StreamEvent]:
        """The rest of a session's last answer."""
        now = SystemClock().monotonic()
        asked = ResumptionRequest(SessionKey("local", session), after_token, request_id, None, now, "t")
        async with asyncio.timeout(LIMIT_SECONDS):
            return [event async for event in self.gateway.resume(asked)]

    async def broken(self, prompt: Prompt | str, session: str, tokens: int, **changes: Any) -> list[StreamEvent]:
        """What a reader has of an answer who leaves after so many tokens; with 0 after Started."""
        stream, events = self.gateway.generate(self.request(prompt, session, **changes)), []
        async with asyncio.timeout(LIMIT_SECONDS), contextlib.aclosing(stream):
            async for event in stream:
                events.append(event)
                if len(ids_of(events)) >= tokens:
                    return events
        raise AssertionError(f"the answer has {len(ids_of(events))} tokens")

    def request(self, prompt: Prompt | str, session: str = "", **changes: Any) -> GenerationRequest:
        """A request in a session, or in none."""
        now = SystemClock().monotonic()
        chat = ChatPrompt((Message("user", prompt),)) if isinstance(prompt, str) else prompt
        key = SessionKey("local", session) if session else None
        made = GenerationRequest(f"r{now}", "", chat, GREEDY, 12, (), True, None, now, "t", key, "local")
        return replace(made, **changes)

    async def saved(self) -> None:
        """Wait until all is on disk."""
        assert await asyncio.to_thread(self.book.flush, LIMIT_SECONDS)

    async def stop(self) -> None:
        """End everything, as a daemon does; a second time is nothing."""
        if self.stopped:
            return
        self.stopped = True
        assert await asyncio.to_thread(self.served.stop, LIMIT_SECONDS)
        assert self.served.engine.stats.rows_in_use == 0
        # What the engine told last is still to be heard by the loop.
        await asyncio.sleep(0)
        assert await asyncio.to_thread(self.book.stop, LIMIT_SECONDS)


def ids_of(events: list[StreamEvent]) -> tuple[int, ...]:
    """What the model drew."""
    return tuple(token for event in events if isinstance(event, TokenText) for token in event.ids)


def text_of(events: list[StreamEvent]) -> str:
    """What the client reads."""
    return "".join(event.text for event in events if isinstance(event, TokenText))


def started(events: list[StreamEvent]) -> Started:
    """The first event."""
    assert isinstance(events[0], Started)
    return events[0]
