"""The open answer streams: counted, so that stopping can wait for them, and closed to new ones while it does."""

import asyncio
import contextlib
from collections.abc import Iterator

from autoglmd.errors import DrainingError


class OpenStreams:
    """How many streams run. Belongs to the event loop."""

    def __init__(self) -> None:
        self._count = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def count(self) -> int:
        """Streams that run now."""
        return self._count

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Counts as one stream while the block runs.

        Raises:
            DrainingError: no new ones are taken.
        """
        if self._draining:
            raise DrainingError
        self._count += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._idle.set()

    def refuse_new(self) -> None:
        """From now on `one` raises; running streams go on."""
        self._draining = True

    async def wait_until_none(self, limit_seconds: float) -> bool:
        """Wait until none runs. False: some still did when the limit was over."""
        try:
            async with asyncio.timeout(limit_seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
