"""The answers that are being written: counted, so that stopping can wait for the last words to be on the wire."""

import asyncio
import contextlib
from collections.abc import Iterator


class OpenStreams:
    """How many streams run. Belongs to the event loop."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def count(self) -> int:
        """Streams that run now."""
        return self._count

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Counts as one stream while the block runs."""
        self._count += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._idle.set()

    async def wait_until_none(self, limit_seconds: float) -> bool:
        """Wait until none runs. False: some still did when the limit was over."""
        try:
            async with asyncio.timeout(limit_seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
