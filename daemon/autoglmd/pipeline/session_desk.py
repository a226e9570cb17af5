"""What people ask of sessions beside answers: which there are, what is in them, and to forget one."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from autoglmd.errors import SessionNotFoundError
from autoglmd.messages import Message, SessionInfo, SessionKey
from autoglmd.pipeline.apart import run_apart
from autoglmd.pipeline.session_book import SessionBook

T = TypeVar("T")


class SessionDesk:
    """Implements `edge.port.SessionsPort`. Lives on the event loop; disks are asked apart from it."""

    def __init__(self, book: SessionBook) -> None:
        self._book = book
        self._running: set[asyncio.Task[object]] = set()

    async def all(self, tenant: str) -> tuple[SessionInfo, ...]:
        """See SessionsPort.all."""
        return await run_apart("list-sessions", lambda: self._book.sessions(tenant))

    async def one(self, key: SessionKey) -> tuple[SessionInfo, tuple[Message, ...]]:
        """See SessionsPort.one."""
        found = await self._with_lease(key, "show-session", lambda: self._book.describe(key))
        if found is None:
            raise SessionNotFoundError(key.session_id)
        return found

    async def delete(self, key: SessionKey) -> None:
        """See SessionsPort.delete."""
        if not await self._with_lease(key, "delete-session", lambda: self._book.delete(key)):
            raise SessionNotFoundError(key.session_id)

    async def _with_lease(self, key: SessionKey, name: str, work: Callable[[], T]) -> T:
        """Do it with the session's lease, to the end: a caller that leaves must not free what is being worked on."""

        async def whole() -> T:
            async with self._book.leases.held(key):
                return await run_apart(name, work)

        task = asyncio.create_task(whole())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)
