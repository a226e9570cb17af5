"""Files of sessions on their way: a disk that hangs holds no more than their places."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from autoglmd.errors.availability import TransfersBusyError
from autoglmd.errors.session import SessionError
from autoglmd.host.spool import Spool
from autoglmd.pipeline import transfers
from autoglmd.pipeline.transfers import EACH_AT_ONCE, Transfers

LIMIT_SECONDS = 10.0
IMPORT_BYTES = 1 << 20


class Gate:
    """Holds whoever appends to a spool."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.reached = threading.Semaphore(0)


@pytest.fixture(name="gate")
def make_gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A disk that hangs until it is opened."""
    gate, original = Gate(), Spool._opened

    def opened(spool: Spool) -> object:
        gate.reached.release()
        assert gate.opened.wait(LIMIT_SECONDS)
        return original(spool)

    monkeypatch.setattr(Spool, "_opened", opened)
    yield gate
    gate.opened.set()


async def one_piece() -> AsyncIterator[bytes]:
    """What is sent."""
    yield b"piece"


def moving(folder: Path) -> Transfers:
    """Files on their way through a folder."""
    return Transfers(lambda: folder, IMPORT_BYTES)


async def sent(moved: Transfers) -> None:
    """Somebody's file."""
    with moved.one("local") as spool:
        await moved.fill(spool, one_piece())


async def until_closed() -> None:
    """Wait until nobody works on any spool, and the loop knows."""
    for thread in threading.enumerate():
        if thread.name == "close-spool":
            await asyncio.to_thread(thread.join, LIMIT_SECONDS)
    for _ in range(3):
        await asyncio.sleep(0)


async def test_who_leaves_a_disk_that_hangs_leaves_its_place_to_it(tmp_path: Path, gate: Gate) -> None:
    """Else each new try would leave two threads more; when the disk comes back, so do the places."""
    moved = moving(tmp_path)
    for _ in range(EACH_AT_ONCE):
        leaving = asyncio.create_task(sent(moved))
        assert await asyncio.to_thread(gate.reached.acquire, timeout=LIMIT_SECONDS)
        leaving.cancel()
        await asyncio.wait((leaving,))
    threads = threading.active_count()
    for _ in range(3):
        with pytest.raises(TransfersBusyError):
            await sent(moved)
    assert threading.active_count() <= threads
    gate.opened.set()
    await until_closed()
    assert not moved._open["local"]
    await sent(moved)


async def test_a_disk_that_does_not_take_a_piece_in_time_is_said_to(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sends is not kept waiting for ever."""
    monkeypatch.setattr(transfers, "DISK_SECONDS", 0.02)
    moved = moving(tmp_path)
    with pytest.raises(SessionError, match="does not answer in time"):
        await sent(moved)
    assert moved._open["local"] == 1
    gate.opened.set()
    await until_closed()
    assert not moved._open["local"]


async def test_a_box_without_threads_says_what_the_caller_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the place is free again."""
    moved = moving(tmp_path)

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as poor:
        poor.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(KeyError, match="the caller's"), moved.one("local"):
            raise KeyError("the caller's")
    assert not moved._open["local"]
