"""Prefetching of sessions: a disk that is slow, or hangs, holds up nobody but who asks for what is on it."""

import threading
from collections.abc import Callable, Iterator

import pytest

from autoglmd.engine.sequence import Admitted
from autoglmd.errors.availability import DrainingError
from autoglmd.errors.session import SessionError
from autoglmd.messages.sessions import CacheMiss, CacheReport, CacheTier
from autoglmd.pipeline.preparation import Prepared
from autoglmd.pipeline.readings import MOST_READERS
from tests.unit.pipeline.prefetch_rig import Rig
from tests.unit.pipeline.test_prefetch import LIMIT_SECONDS


def join_readers() -> None:
    """Wait until nothing is read any more."""
    for thread in threading.enumerate():
        if thread.name.startswith("read-"):
            thread.join(LIMIT_SECONDS)


@pytest.fixture
def make() -> Iterator[Callable[..., Rig]]:
    """Rigs that are stopped afterwards, with no thread left."""
    rigs: list[Rig] = []

    def made(depth: int, past_bytes: int = 1 << 20) -> Rig:
        rigs.append(Rig(depth, past_bytes))
        return rigs[-1]

    yield made
    for rig in rigs:
        for gate in rig.disk.gates.values():
            gate.set()
        rig.prefetcher.stop(LIMIT_SECONDS)
        assert not any(thread.is_alive() for thread in rig.prefetcher._threads)
    join_readers()


@pytest.mark.parametrize("depth", [1, 4])
def test_who_needs_no_disk_goes_past_a_disk_that_hangs(make: Callable[..., Rig], depth: int) -> None:
    """Those in memory, and those without a session; also where one request alone may be ready."""
    rig = make(depth)
    rig.disk.hang("cold")
    rig.disk.warm.add("warm")
    rig.put("first", "cold")
    rig.disk.wait_reads(1)
    for name, session in [("a", "warm"), ("b", ""), ("c", "warm")]:
        rig.put(name, session)
    for count, name in enumerate("abc", start=1):
        assert rig.submitted(count)[count - 1] == name
        rig.prefetcher.observe([Admitted(name, 0.0)])
    assert rig.prefetcher.waiting == 1
    rig.disk.gates["cold"].set()
    assert rig.submitted(4)[3] == "first"
    assert rig.cache("first").tier is CacheTier.DISK


def test_one_session_that_hangs_does_not_hold_up_another(make: Callable[..., Rig]) -> None:
    """Several are read at once."""
    rig = make(1)
    rig.disk.hang("bad")
    rig.put("first", "bad")
    rig.disk.wait_reads(1)
    rig.put("second", "good")
    assert rig.submitted(1) == ["second"]


def test_an_answer_goes_on_without_its_session_when_the_disk_takes_too_long(make: Callable[..., Rig]) -> None:
    """It says so, and is not added to the session. What the disk gives later is of no use to anybody."""
    rig = make(1)
    rig.disk.hang("cold")
    rig.put("late", "cold")
    rig.disk.wait_reads(1)
    rig.pass_limit()
    assert rig.submitted(1) == ["late"]
    assert rig.cache("late") == CacheReport(0, None, CacheMiss.UNREADABLE)
    answer = rig.answers["late"]
    assert isinstance(answer, Prepared)
    assert answer.begun is None
    rig.prefetcher.observe([Admitted("late", 0.0)])
    rig.disk.gates["cold"].set()
    join_readers()
    rig.put("again", "cold")
    assert rig.submitted(2) == ["late", "again"]
    assert rig.cache("again").tier is CacheTier.DISK


def test_nobody_waits_for_a_session_that_is_known_to_hang(make: Callable[..., Rig]) -> None:
    """It is not read a second time while the first reader hangs, so it cannot take up all readers."""
    rig = make(8)
    rig.disk.hang("bad")
    rig.put("first", "bad")
    rig.disk.wait_reads(1)
    rig.pass_limit()
    rig.submitted(1)
    for number in range(2 * MOST_READERS):
        rig.put(f"again {number}", "bad")
        rig.prefetcher.observe([Admitted(name, 0.0) for name in rig.submitted(2 + number)])
    assert rig.disk.reads == ["bad"]
    rig.put("other", "good")
    assert rig.submitted(2 + 2 * MOST_READERS)[-1] == "other"
    assert rig.cache("other").tier is CacheTier.DISK


def test_a_disk_that_hangs_in_all_readers_is_waited_for_by_nobody_else(make: Callable[..., Rig]) -> None:
    """The number of threads is bounded; the session is read again once the disk answers."""
    rig = make(64)
    names = [f"s{number}" for number in range(MOST_READERS)]
    rig.disk.hang(*names)
    for name in names:
        rig.put(name, name)
    rig.disk.wait_reads(MOST_READERS)
    rig.pass_limit()
    rig.submitted(MOST_READERS)
    rig.put("more", "more")
    assert rig.submitted(MOST_READERS + 1)[-1] == "more"
    assert rig.cache("more").miss is CacheMiss.UNREADABLE
    assert sorted(rig.disk.reads) == names
    for gate in rig.disk.gates.values():
        gate.set()
    join_readers()
    rig.put("then", "more")
    assert rig.submitted(MOST_READERS + 2)[-1] == "then"
    assert rig.cache("then").tier is CacheTier.DISK


def test_a_disk_that_hangs_is_told_of_once(make: Callable[..., Rig], caplog: pytest.LogCaptureFixture) -> None:
    """And once more when it hangs after it has answered: a log of one line for each request helps nobody."""
    rig = make(64)
    rig.disk.hang("slow", "slow again")
    for count, name in ((1, "slow"), (4, "slow again")):
        rig.put(f"first {name}", name)
        rig.disk.wait_reads(1)
        rig.pass_limit()
        rig.put(f"second {name}", name)
        rig.submitted(count + 1)
        rig.put(f"quick {name}", "quick")
        rig.submitted(count + 2)
        rig.disk.wait_reads(1)
    for gate in rig.disk.gates.values():
        gate.set()
    assert [record.message.split(";")[0] for record in caplog.records] == ["a disk does not answer in time"] * 2


def test_no_more_are_read_at_once_than_there_are_readers(make: Callable[..., Rig]) -> None:
    """The next one begins when one has ended."""
    rig = make(64)
    names = [f"s{number}" for number in range(MOST_READERS + 2)]
    rig.disk.hang(*names)
    for name in names:
        rig.put(name, name)
    rig.disk.wait_reads(MOST_READERS)
    assert sorted(rig.disk.reads) == names[:MOST_READERS]
    assert rig.prefetcher.waiting == MOST_READERS + 2
    rig.disk.gates[names[0]].set()
    rig.disk.wait_reads(1)
    assert names[MOST_READERS] in rig.disk.reads


def test_what_was_read_and_waits_for_a_place_is_bounded_by_its_bytes(make: Callable[..., Rig]) -> None:
    """A session is not read while the engine has no room for those that were."""
    rig = make(2, past_bytes=100)
    rig.disk.block_bytes = 100
    rig.put("a", "a")
    assert rig.submitted(1) == ["a"]
    rig.put("b", "b")
    rig.prefetcher.observe([])
    assert rig.disk.reads == ["a"]
    rig.prefetcher.observe([Admitted("a", 0.0)])
    assert rig.submitted(2) == ["a", "b"]


def test_a_client_that_leaves_while_its_session_is_read_is_forgotten(make: Callable[..., Rig]) -> None:
    """Its request never comes to the engine."""
    rig = make(1)
    rig.disk.hang("cold")
    job = rig.put("gone", "cold")
    rig.disk.wait_reads(1)
    assert rig.prefetcher.discard(job)
    assert rig.prefetcher.waiting == 0
    rig.disk.gates["cold"].set()
    rig.put("next")
    assert rig.submitted(1) == ["next"]
    assert "gone" not in rig.answers


def test_stopping_waits_for_no_disk(make: Callable[..., Rig]) -> None:
    """Who waits for it is answered."""
    rig = make(1)
    rig.disk.hang("cold")
    rig.put("a", "cold")
    rig.disk.wait_reads(1)
    rig.prefetcher.stop(LIMIT_SECONDS)
    assert isinstance(rig.answers["a"], DrainingError)


def test_one_who_was_looked_for_while_it_stopped_is_answered_too(make: Callable[..., Rig]) -> None:
    """It has left the line already, and is read no more."""
    rig = make(1)
    rig.disk.looking.clear()
    rig.put("a", "cold")
    assert rig.disk.looked.wait(LIMIT_SECONDS)
    rig.prefetcher.stop(0.0)
    rig.disk.looking.set()
    assert rig.answered.acquire(timeout=LIMIT_SECONDS)
    assert isinstance(rig.answers["a"], DrainingError)
    assert rig.disk.reads == []


def test_a_session_that_must_not_be_touched_is_refused(make: Callable[..., Rig]) -> None:
    """As whoever read it says."""
    rig = make(1)
    rig.disk.broken.add("bad")
    rig.put("a", "bad")
    assert rig.answered.acquire(timeout=LIMIT_SECONDS)
    assert isinstance(rig.answers["a"], SessionError)
    rig.put("b")
    assert rig.submitted(1) == ["b"]
