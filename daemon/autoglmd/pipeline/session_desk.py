"""What people ask of sessions beside answers: which there are, what is in them, and what becomes of them as a whole."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from autoglmd.errors.availability import DrainingError
from autoglmd.errors.session import SessionError, SessionNotFoundError
from autoglmd.host.spool import Spool
from autoglmd.messages.generation import Message
from autoglmd.messages.sessions import Place, SessionInfo, SessionKey
from autoglmd.pipeline.disk_calls import DiskCalls
from autoglmd.pipeline.session_book import SessionBook
from autoglmd.pipeline.session_moves import SessionMoves, Speakers
from autoglmd.pipeline.transfers import Transfers
from autoglmd.sessions.conversation import Conversation, TurnMark

T = TypeVar("T")

CUTS_AT_ONCE = 4
SAVE_SECONDS = 10.0
"""How long who asked for a change waits for the disk to have it. Later it is there as well, if the daemon is."""


class SessionDesk:
    """Implements `edge.port.SessionsPort`. Lives on the event loop; disks are asked apart from it."""

    def __init__(self, book: SessionBook, speakers: Callable[[], Speakers], now: Callable[[], float]) -> None:
        """Make it.

        Args:
            book: where the conversations are.
            speakers: tells on the loop which models are served now.
            now: seconds since 1970.
        """
        self._book = book
        self._speakers = speakers
        self._moves = SessionMoves(book, now)
        self._transfers = Transfers(lambda: book.transit, book.import_bytes)
        self._calls = DiskCalls(lambda: book.recall_seconds)
        # Apart: one tenant's changes that a slow disk takes its time for keep nobody from asking what there is.
        self._changes = DiskCalls(lambda: book.recall_seconds)
        self._saves = DiskCalls(lambda: book.recall_seconds)
        # Each has a whole conversation in memory.
        self._cutting = asyncio.Semaphore(CUTS_AT_ONCE)
        self._running: set[asyncio.Task[object]] = set()
        self._draining = False

    def drain(self) -> None:
        """Take nothing new from now on: the daemon is stopping, and would cut it off."""
        self._draining = True

    async def all(self, tenant: str) -> tuple[SessionInfo, ...]:
        """See SessionsPort.all."""
        self._check_open()
        return await self._calls.in_time("list-sessions", lambda: self._book.sessions(tenant))

    async def one(self, key: SessionKey) -> tuple[SessionInfo, tuple[Message, ...], tuple[TurnMark, ...]]:
        """See SessionsPort.one."""
        found = await self._with_leases(
            (key,), lambda: self._calls.in_time("show-session", lambda: self._described(key))
        )
        if found is None:
            raise SessionNotFoundError(key.session_id)
        info, told = found
        return info, told.messages, told.marks

    async def delete(self, key: SessionKey) -> None:
        """See SessionsPort.delete."""
        # Without a limit: nobody else may have the session before it is known to be there or not.
        if not await self._changed((key,), "delete-session", lambda: self._deleted(key)):
            raise SessionNotFoundError(key.session_id)

    async def fork(self, key: SessionKey, new_session_id: str, place: Place | None) -> SessionInfo:
        """See SessionsPort.fork."""
        new, speakers = replace(key, session_id=new_session_id), self._speakers()
        return await self._cut((key, new), "fork-session", lambda: self._moves.fork(key, new, place, speakers))

    async def rewind(self, key: SessionKey, place: Place | None) -> SessionInfo:
        """See SessionsPort.rewind."""
        speakers = self._speakers()
        return await self._cut((key,), "rewind-session", lambda: self._moves.rewind(key, place, speakers))

    async def exported(self, key: SessionKey) -> AsyncGenerator[bytes, None]:
        """See SessionsPort.exported. Who reads slowly has a file of his own, and keeps nobody from the session."""
        with self._transfers.one(key.tenant) as spool:
            await self._spooled(key, spool)
            async for piece in self._transfers.pieces(spool):
                yield piece

    async def imported(self, key: SessionKey, pieces: AsyncIterator[bytes]) -> SessionInfo:
        """See SessionsPort.imported."""
        self._check_open()
        # Before all of it has come, if it can be known; and again when it counts.
        await self._calls.apart("import-session", lambda: self._moves.expect_none(key))
        with self._transfers.one(key.tenant) as spool:
            await self._transfers.fill(spool, pieces)
            speakers = self._speakers()
            told = await self._calls.apart("import-session", lambda: self._moves.read(key, spool, speakers))

            def kept() -> Conversation:
                # With its place, also where its caller has left: what waits for the session is in memory.
                with spool.held():
                    self._moves.keep(told)
                return told.without_data()

            told = await self._changed((key,), "import-session", kept)
        return await self._kept(told)

    async def _cut(self, keys: tuple[SessionKey, ...], name: str, work: Callable[[], Conversation]) -> SessionInfo:
        """Make a session of a beginning of one. While it is saved no more than its text is in memory for it."""
        return await self._kept(await self._changed(keys, name, lambda: work().without_data(), self._cutting))

    def _described(self, key: SessionKey) -> tuple[SessionInfo, Conversation] | None:
        """A session, though nothing be known of it but an answer that broke off."""
        found, answer = self._book.describe(key), self._book.last_answers.unfinished(key)
        if answer is None:
            return found
        begun = self._book.begin(key, answer.model)
        info, told = found or (self._book.unsaved_info(begun), begun)
        return replace(info, unfinished=True), told

    def _deleted(self, key: SessionKey) -> bool:
        is_unfinished = self._book.last_answers.unfinished(key) is not None
        return self._book.delete(key) or is_unfinished

    def _check_open(self) -> None:
        if self._draining:
            raise DrainingError
        self._book.check_open()

    async def _spooled(self, key: SessionKey, spool: Spool) -> None:
        def loaded() -> Conversation:
            # Whose caller has left takes memory all the same, and so the place.
            with spool.held():
                return self._moves.whole(key)

        # What was said does not change: its session is free while it is packed, and gone from memory when it is.
        told = await self._changed((key,), "export-session", loaded)
        await self._calls.apart("export-session", lambda: self._moves.export(told, spool))

    async def _kept(self, told: Conversation) -> SessionInfo:
        """What there is to say of a conversation once it is saved, or the disk has taken too long."""

        def info() -> SessionInfo:
            self._book.wait_saved(told.key, SAVE_SECONDS)
            return self._book.info(told)

        try:
            return await self._saves.apart("save-session", info)
        except SessionError:
            # Too many wait already. It is changed all the same, and who tried again would change it once more.
            return self._book.unsaved_info(told)

    async def _changed(
        self,
        keys: tuple[SessionKey, ...],
        name: str,
        work: Callable[[], T],
        place: contextlib.AbstractAsyncContextManager[object] = contextlib.nullcontext(),  # noqa: B008 - has no state
    ) -> T:
        """Do it with the sessions' leases, however long a disk takes. Others wait no longer than for an answer's.

        A place is waited for behind the leases: who has one waits for nobody's answer.
        """

        async def changed() -> T:
            with self._book.leases.asking_a_disk(keys, self._book.recall_seconds):
                async with place:
                    return await self._changes.apart(name, work)

        return await self._with_leases(keys, changed)

    async def _with_leases(self, keys: tuple[SessionKey, ...], work: Callable[[], Awaitable[T]]) -> T:
        """Do it with the sessions' leases, to the end: a caller that leaves must not free what is being worked on.

        Who leaves before it is his time leaves the line.
        """
        self._check_open()
        # Everybody takes them in the same order, so nobody waits for who waits for him.
        ordered = sorted(set(keys), key=lambda key: (key.tenant, key.session_id))
        begun = asyncio.Event()

        async def whole() -> T:
            async with contextlib.AsyncExitStack() as leases:
                for key in ordered:
                    await leases.enter_async_context(self._book.leases.held(key))
                begun.set()
                return await work()

        task = asyncio.create_task(whole())
        self._running.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        finally:
            if not begun.is_set():
                # Nobody waits any more for what nobody has begun.
                task.cancel()

    def _done(self, task: "asyncio.Task[object]") -> None:
        self._running.discard(task)
        # Looked at, for a caller that has left looks at nothing.
        if not task.cancelled():
            task.exception()
