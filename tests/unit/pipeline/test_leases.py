"""Who may use a session."""

import asyncio

import pytest

from autoglmd.errors import SessionBusyError
from autoglmd.messages import SessionKey
from autoglmd.pipeline.leases import Lease, Leases

KEY = SessionKey("local", "s")


def enter(leases: Leases, granted: list[str], name: str, key: SessionKey = KEY) -> Lease:
    """Stand in the line; the name is noted when it is one's turn."""
    lease = Lease(key, lambda: granted.append(name))
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
