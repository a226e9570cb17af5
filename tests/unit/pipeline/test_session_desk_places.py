"""What is asked of sessions at once: who waits for whom, and who is sent away."""

import asyncio
import threading
from dataclasses import replace

import pytest

from autoglmd.errors.availability import DrainingError
from autoglmd.errors.session import SessionError
from autoglmd.pipeline.session_book import SessionBook
from autoglmd.pipeline.session_desk import CUTS_AT_ONCE
from tests.support.conversations import KEY
from tests.unit.pipeline.test_session_desk import LIMIT_SECONDS, desk_of, make_book

__all__ = ["make_book"]


async def test_who_looks_while_changes_take_their_time_is_answered(
    book: SessionBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes of one tenant, however many a slow disk holds up, keep nobody from asking what there is."""
    book.recall_seconds = LIMIT_SECONDS
    desk = desk_of(book)
    monkeypatch.setattr(desk._changes, "_places", threading.BoundedSemaphore(1))
    assert desk._changes._places.acquire(blocking=False)
    with pytest.raises(SessionError, match="calls wait for it already"):
        await desk.delete(KEY)
    assert (await desk.one(KEY))[0].turns == 1
    assert len(await desk.all(KEY.tenant)) == 1


async def test_a_daemon_that_stops_takes_no_new_changes(book: SessionBook) -> None:
    """It would cut them off, and whoever tried a fork again would be told that its name is taken."""
    desk = desk_of(book)
    desk.drain()
    for call in (desk.fork(KEY, "new", None), desk.delete(KEY), desk.one(KEY), desk.all(KEY.tenant)):
        with pytest.raises(DrainingError):
            await call
    with pytest.raises(DrainingError):
        await anext(desk.exported(KEY))


async def test_forks_of_a_session_that_answers_keep_no_others_waiting(book: SessionBook) -> None:
    """An answer may take minutes; they wait in its line, and not in a place that all tenants share."""
    desk = desk_of(book)
    book.recall_seconds = LIMIT_SECONDS
    await desk.fork(KEY, "other", None)
    async with book.leases.held(KEY):
        waiting = [asyncio.create_task(desk.fork(KEY, f"fork {number}", None)) for number in range(CUTS_AT_ONCE)]
        await asyncio.sleep(0)
        async with asyncio.timeout(LIMIT_SECONDS):
            forked = await desk.fork(replace(KEY, session_id="other"), "free", None)
        assert forked.session_id == "free"
        assert not any(task.done() for task in waiting)
    assert {info.session_id for info in await asyncio.gather(*waiting)} == {f"fork {at}" for at in range(CUTS_AT_ONCE)}
