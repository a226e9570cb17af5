"""Who may use a session."""

import asyncio

import pytest

from autoglmd.errors.availability import UnavailableError
from autoglmd.errors.session import SessionBusyError
from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline.leases import Lease, Leases

KEY = SessionKey("local", "s")


def enter(leases: Leases, granted: list[str], name: str, key: SessionKey = KEY) -> Lease:
    """Stand in the line; the name is noted when it is one's turn."""
    lease = Lease(key, lambda: granted.append(name), lambda error: granted.append(f"{name}: {type(error).__name__}"))
    leases.enter(lease)
    return lease


def test_a_session_is_given_to_one_after_another() -> None:
    """In the order in which they came."""
    leases, granted = Leases(may_wait=True), []
    first, second = enter(leases, granted, "first"), enter(leases, granted, "second")
    assert granted == ["first"]
    leases.leave(first)
    assert granted == ["first", "second"]
    leases.leave(second)
    enter(leases, granted, "third")
    assert granted == ["first", "second", "third"]


def test_one_who_leaves_the_line_is_passed_over() -> None:
    """And nobody is given the session twice."""
    leases, granted = Leases(may_wait=True), []
    first, second = enter(leases, granted, "first"), enter(leases, granted, "second")
    enter(leases, granted, "third")
    leases.leave(second)
    assert granted == ["first"]
    leases.leave(first)
    assert granted == ["first", "third"]


def test_sessions_do_not_wait_for_each_other() -> None:
    """Another session, and another tenant's of the same name, are free."""
    leases, granted = Leases(may_wait=False), []
    for key in (KEY, SessionKey("local", "t"), SessionKey("other", "s")):
        enter(leases, granted, key.session_id, key)
    assert granted == ["s", "t", "s"]


def test_where_nobody_may_wait_the_second_is_refused() -> None:
    """And the first is not disturbed."""
    leases, granted = Leases(may_wait=False), []
    first = enter(leases, granted, "first")
    with pytest.raises(SessionBusyError):
        enter(leases, granted, "second")
    # Its client has heard the end, and may ask at once: the engine will not be long.
    first.is_ending = True
    enter(leases, granted, "polite")
    leases.leave(first)
    assert granted == ["first", "polite"]


async def test_a_block_has_the_session_and_gives_it_back() -> None:
    """Also one that was cancelled while it waited."""
    leases, granted = Leases(may_wait=True), []
    first = enter(leases, granted, "first")

    async def use(name: str) -> None:
        async with leases.held(KEY):
            granted.append(name)

    waiting, cancelled = asyncio.create_task(use("waiting")), asyncio.create_task(use("cancelled"))
    await asyncio.sleep(0)
    cancelled.cancel()
    leases.leave(first)
    await asyncio.wait((waiting, cancelled))
    assert granted == ["first", "waiting"]
    enter(leases, granted, "last")
    assert granted[-1] == "last"


async def test_nobody_waits_for_a_holder_whose_disk_does_not_answer() -> None:
    """Who stands there is told to come back, and so is who comes; when it is over, the session is to be had."""
    leases, granted = Leases(may_wait=True), []

    async def wait_too() -> None:
        async with leases.held(KEY):
            granted.append("held")

    async with leases.held(KEY):
        waiting = enter(leases, granted, "waiting")
        other = asyncio.create_task(wait_too())
        await asyncio.sleep(0)
        with leases.asking_a_disk((KEY,), 0.0):
            with pytest.raises(UnavailableError, match="Try again"):
                await other
            leases.leave(waiting)
            with pytest.raises(UnavailableError, match="Try again"):
                enter(leases, granted, "late")
    assert granted == ["waiting: UnavailableError"]
    enter(leases, granted, "next")
    assert granted[1:] == ["next"]


async def test_a_disk_that_answers_in_time_sends_nobody_away() -> None:
    """Who waits gets the session."""
    leases, granted = Leases(may_wait=True), []
    async with leases.held(KEY):
        with leases.asking_a_disk((KEY,), 0.0):
            enter(leases, granted, "waiting")
        for _ in range(3):
            await asyncio.sleep(0)
    assert granted == ["waiting"]
