"""Threads that nobody has to wait for."""

import asyncio
import subprocess
import sys
import threading

import pytest

from autoglmd.pipeline.apart import run_apart

LIMIT_SECONDS = 10.0
DEAF = """
import asyncio, threading
from autoglmd.pipeline.apart import run_apart

async def main():
    work = asyncio.create_task(run_apart("deaf", threading.Event().wait))
    await asyncio.sleep(0)
    work.cancel()

asyncio.run(main())
"""


class PanicError(BaseException):
    """What a library in Rust raises at a defect of its own."""


async def test_a_result_comes_back_from_another_thread() -> None:
    """Which bears the name that it was given."""
    assert await run_apart("aside", lambda: threading.current_thread().name) == "aside"


async def test_an_error_is_raised_where_somebody_waits() -> None:
    """As it is."""
    with pytest.raises(ZeroDivisionError):
        await run_apart("aside", lambda: 1 // 0)


async def test_a_panic_does_not_end_the_loop() -> None:
    """It comes as an ordinary error with its cause."""

    def panic() -> None:
        raise PanicError

    with pytest.raises(RuntimeError, match="aside broke down") as caught:
        await run_apart("aside", panic)
    assert isinstance(caught.value.__cause__, PanicError)


async def test_who_waits_can_leave_and_the_thread_ends_unheard() -> None:
    """Its late result disturbs nobody."""
    gate, ended = threading.Event(), threading.Event()

    def work() -> None:
        assert gate.wait(LIMIT_SECONDS)
        ended.set()

    task = asyncio.create_task(run_apart("aside", work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await asyncio.to_thread(ended.wait, LIMIT_SECONDS)


def test_neither_the_loop_nor_the_process_waits_for_it() -> None:
    """A thread that never ends does not keep a program from ending."""
    assert subprocess.run([sys.executable, "-c", DEAF], check=False, timeout=LIMIT_SECONDS).returncode == 0
