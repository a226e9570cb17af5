"""Calls that wait for a disk, apart from the event loop: so many at once, and some of them for so long."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from autoglmd.errors.session import SessionError
from autoglmd.pipeline.apart import start_apart

T = TypeVar("T")

_MOST_THREADS = 32


class DiskCalls:
    """Lives on the event loop. Threads that hang stay with their disk, and count until they come back."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """`seconds`: tells how long `in_time` waits."""
        self._seconds = seconds
        self._places = threading.BoundedSemaphore(_MOST_THREADS)

    async def in_time(self, name: str, work: Callable[[], T]) -> T:
        """Do it, and wait for it no longer than an answer waits for its conversation. Raises SessionError."""
        try:
            return await asyncio.wait_for(self.apart(name, work), self._seconds())
        except TimeoutError:
            raise SessionError("The disk does not answer in time. Try again.") from None

    async def apart(self, name: str, work: Callable[[], T]) -> T:
        """Do it in a thread of its own. Raises SessionError where too many wait for the disk."""
        if not self._places.acquire(blocking=False):
            raise SessionError(f"The disk does not answer: {_MOST_THREADS} calls wait for it already. Try again.")

        def placed() -> T:
            try:
                return work()
            finally:
                self._places.release()

        try:
            done = start_apart(name, placed)
        except RuntimeError as error:
            self._places.release()
            raise SessionError(f"The box has no thread left: {error}. Try again.") from error
        return await done
