"""What people ask of sessions: no disk holds them for ever, and nobody learns of another's."""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from autoglmd.config.rooms import SessionsConfig
from autoglmd.errors.availability import TransfersBusyError, UnavailableError
from autoglmd.errors.session import SessionError, SessionNotFoundError
from autoglmd.host.clock import SystemClock
from autoglmd.host.disk import Disk, Piece
from autoglmd.host.spool import Spool
from autoglmd.messages.sessions import CacheMiss, SessionKey
from autoglmd.pipeline import disk_calls
from autoglmd.pipeline.session_book import SessionBook, open_sessions
from autoglmd.pipeline.session_desk import SessionDesk
from autoglmd.pipeline.session_moves import SessionMoves
from autoglmd.pipeline.transfers import EACH_AT_ONCE
from autoglmd.pipeline.unsaved_turns import Loaded
from autoglmd.sessions.catalog import Catalog
from autoglmd.sessions.conversation import Conversation, ModelMark
from autoglmd.sessions.journal import Journal
from autoglmd.sessions.store import SessionStore
from tests.support.conversations import KEY, MODEL, empty, grown
from tests.support.session_stores import store_in

LIMIT_SECONDS = 10.0
EVE = SessionKey("certificate:eve", KEY.session_id)


class Calls(Disk):
    """Notes what is asked of the disk and of the catalog, without names; may hang in reading."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        for name in ("reading", "size", "remove", "append", "write", "rename"):
            self._note(monkeypatch, Disk, name)
        for name in ("find", "forget", "why_gone", "put", "of"):
            self._note(monkeypatch, Catalog, name)

    def _note(self, monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> None:
        original, made, gate = getattr(kind, name), self.made, self.gate

        def noted(*given: object, **named: object) -> object:
            made.append(f"{kind.__name__}.{name}")
            assert gate.wait(LIMIT_SECONDS)
            return original(*given, **named)

        monkeypatch.setattr(kind, name, noted)


@pytest.fixture(name="book")
def make_book(tmp_path: Path) -> Iterator[SessionBook]:
    """Conversations of one tenant, on disk alone."""
    book = open_sessions(tmp_path / "sessions", SessionsConfig(memory_bytes=0, recall_seconds=0.05), SystemClock())
    book.commit(grown(empty(), "one"))
    assert book.flush(LIMIT_SECONDS)
    yield book
    book.stop(LIMIT_SECONDS)


def desk_of(book: SessionBook) -> SessionDesk:
    """Where people ask, while no model is served."""
    return SessionDesk(book, dict, SystemClock().wall)


async def test_another_tenants_session_costs_what_none_costs(
    book: SessionBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same calls to disk and catalog, in the same order, in every service: neither words nor time tell."""
    book.recall_seconds = LIMIT_SECONDS
    desk, calls = desk_of(book), Calls(monkeypatch)
    nobodys = SessionKey(EVE.tenant, "no such")

    async def cost(key: SessionKey) -> list[list[str]]:
        made = []
        for ask in (desk.one, desk.delete):
            calls.made.clear()
            with pytest.raises(SessionNotFoundError) as refusal:
                await ask(key)
            assert refusal.value.session_id == key.session_id
            made.append([*calls.made])
        calls.made.clear()
        recalled = await asyncio.to_thread(book.recall, key, MODEL)
        assert recalled.conversation.messages == ()
        made.append([*calls.made])
        return made

    assert await cost(EVE) == await cost(nobodys)
    assert await desk.all(EVE.tenant) == ()
    info, said, _ = await desk.one(KEY)
    assert (info.turns, len(said)) == (1, 2)


async def test_a_disk_that_hangs_is_waited_for_no_longer_than_by_an_answer(
    book: SessionBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is free again, and later calls get what there is."""
    desk, calls = desk_of(book), Calls(monkeypatch)
    calls.gate.clear()
    async with asyncio.timeout(LIMIT_SECONDS):
        with pytest.raises(SessionError, match="does not answer in time"):
            await desk.one(KEY)
        with pytest.raises(SessionError, match="does not answer in time"):
            await desk.all(KEY.tenant)
    assert not book.leases.is_taken(KEY)
    calls.gate.set()
    for thread in threading.enumerate():
        if thread.name in ("show-session", "list-sessions"):
            await asyncio.to_thread(thread.join, LIMIT_SECONDS)
    book.recall_seconds = LIMIT_SECONDS
    assert (await desk.one(KEY))[0].session_id == KEY.session_id


@pytest.mark.parametrize("refused", ["forget", "remove"])
async def test_a_delete_that_fails_costs_nothing_that_was_not_saved(
    book: SessionBook, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """The session stays, with its last turn on its way to the disk; the next try removes all of it."""
    told = book.whole(KEY)
    assert told is not None
    with monkeypatch.context() as broken:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(5, "Input/output error")

        broken.setattr(SessionStore, "save", refuse)
        broken.setattr(*((Journal, "forget") if refused == "forget" else (SessionStore, "delete")), refuse)
        book.commit(grown(told, "two"))
        with pytest.raises(SessionError, match="Try again"):
            await desk_of(book).delete(KEY)
        assert (await desk_of(book).one(KEY))[0].turns == 2
    await desk_of(book).delete(KEY)
    with pytest.raises(SessionNotFoundError):
        await desk_of(book).one(KEY)


async def test_calls_that_hang_are_bounded(book: SessionBook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks again and again gets an answer, and no thread more."""
    monkeypatch.setattr(disk_calls, "_MOST_THREADS", 2)
    desk, calls = desk_of(book), Calls(monkeypatch)
    calls.gate.clear()
    async with asyncio.timeout(LIMIT_SECONDS):
        for _ in range(2):
            with pytest.raises(SessionError, match="in time"):
                await desk.all(KEY.tenant)
        for _ in range(3):
            with pytest.raises(SessionError, match="2 calls wait"):
                await desk.all(KEY.tenant)
    calls.gate.set()


async def test_as_long_as_another_daemon_has_the_folder_callers_are_told_to_come_back(tmp_path: Path) -> None:
    """In words, at once; and they find everything when it has left."""
    old = store_in(tmp_path / "sessions")
    old.save(grown(empty(), "one"))
    book = open_sessions(tmp_path / "sessions", SessionsConfig(), SystemClock())
    desk = desk_of(book)
    for call in (desk.one(KEY), desk.delete(KEY), desk.all(KEY.tenant)):
        with pytest.raises(UnavailableError, match="Try again"):
            await call
    old.close()
    # The write-back thread has the folder before it saves anything.
    book.commit(empty(SessionKey("local", "other")))
    assert await asyncio.to_thread(book.flush, LIMIT_SECONDS)
    assert (await desk.one(KEY))[0].turns == 1
    assert await asyncio.to_thread(book.stop, LIMIT_SECONDS)


async def test_a_session_is_free_while_its_file_is_packed(book: SessionBook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is slow to take an export keeps no answer waiting."""
    book.recall_seconds = LIMIT_SECONDS
    reached, gate, original = threading.Event(), threading.Event(), Spool.append

    def append(spool: Spool, pieces: Iterable[Piece]) -> None:
        reached.set()
        assert gate.wait(LIMIT_SECONDS)
        original(spool, pieces)

    monkeypatch.setattr(Spool, "append", append)
    exporting = asyncio.ensure_future(anext(desk_of(book).exported(KEY)))
    assert await asyncio.to_thread(reached.wait, LIMIT_SECONDS)
    assert not book.leases.is_taken(KEY)
    gate.set()
    assert await exporting


async def test_an_export_that_nobody_waits_for_has_its_place_until_its_session_is_loaded(
    book: SessionBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who asks and leaves, again and again, has any number of conversations in memory at once."""
    reached, gate, original = threading.Semaphore(0), threading.Event(), SessionMoves.whole

    def whole(moves: SessionMoves, key: SessionKey) -> Conversation:
        reached.release()
        assert gate.wait(LIMIT_SECONDS)
        return original(moves, key)

    monkeypatch.setattr(SessionMoves, "whole", whole)
    desk = desk_of(book)
    for number in range(EACH_AT_ONCE):
        leaving = asyncio.ensure_future(anext(desk.exported(SessionKey(KEY.tenant, str(number)))))
        assert await asyncio.to_thread(reached.acquire, timeout=LIMIT_SECONDS)
        leaving.cancel()
        await asyncio.wait((leaving,))
    with pytest.raises(TransfersBusyError):
        await anext(desk.exported(KEY))
    gate.set()
    for thread in threading.enumerate():
        if thread.name in ("export-session", "close-spool"):
            await asyncio.to_thread(thread.join, LIMIT_SECONDS)
    assert await anext(desk.exported(KEY))


async def test_who_waits_for_a_change_on_a_disk_that_hangs_is_sent_away(
    book: SessionBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time that an answer waits for its session; the change goes on."""
    desk, calls = desk_of(book), Calls(monkeypatch)
    calls.gate.clear()
    deleting = asyncio.create_task(desk.delete(KEY))
    # It comes first.
    await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT_SECONDS):
        with pytest.raises(UnavailableError, match="Try again"):
            await desk.one(KEY)
    assert not deleting.done()
    calls.gate.set()
    await deleting


async def test_a_change_that_was_made_is_told_so_where_no_thread_is_left_to_wait(
    book: SessionBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who took it for a failure would fork into a name that is taken, or take back one turn more."""
    book.recall_seconds = LIMIT_SECONDS
    desk = desk_of(book)
    monkeypatch.setattr(desk._saves, "_places", threading.BoundedSemaphore(1))
    assert desk._saves._places.acquire(blocking=False)
    forked = await desk.fork(KEY, "new", None)
    assert (forked.session_id, forked.turns) == ("new", 1)


def test_a_turn_that_was_deleted_while_it_was_read_does_not_come_back(tmp_path: Path) -> None:
    """Its reader has left, and the session was free to be deleted."""
    folder = tmp_path / "sessions"
    book = open_sessions(folder, SessionsConfig(recall_seconds=0.05), SystemClock())
    kept = book._kept.load

    def load(key: SessionKey, model: ModelMark | None) -> Loaded | CacheMiss:
        book.forget_answer(key)
        return Loaded(grown(empty(), "deleted"), damaged=False, is_saved=False)

    book._kept.load = load  # type: ignore[method-assign]
    recalled = book.recall(KEY, MODEL)
    assert recalled.conversation.turns == 1
    book._kept.load = kept  # type: ignore[method-assign]
    assert book.find(KEY) is None
    assert book.flush(LIMIT_SECONDS)
    assert not list(folder.glob("*/*.session"))
    book.stop(LIMIT_SECONDS)
