"""Files of sessions on their way in and out: a few at once, spooled to the disk, so that none is held in memory."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

from autoglmd.errors.availability import TransfersBusyError
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.errors.session import SessionError
from autoglmd.host.spool import Spool
from autoglmd.pipeline.apart import start_apart
from autoglmd.pipeline.disk_calls import DiskCalls

AT_ONCE = 4
EACH_AT_ONCE = 2
"""Of one tenant: who reads slowly keeps nobody else from a place."""
PIECE_BYTES = 1 << 20
DISK_SECONDS = 60.0
"""How long a disk may take for a piece."""


class Transfers:
    """Lives on the event loop; what is written and read is in threads of their own."""

    def __init__(self, folder: Callable[[], Path], import_bytes: int) -> None:
        """Make it.

        Args:
            folder: tells where files lie while they are on their way.
            import_bytes: of the largest that is taken.
        """
        self._folder = folder
        self._import_bytes = import_bytes
        self._open: Counter[str] = Counter()
        self._calls = DiskCalls(lambda: DISK_SECONDS)

    @contextlib.contextmanager
    def one(self, tenant: str) -> Iterator[Spool]:
        """A spool, for as long as the block runs; its place is taken until nobody works on it.

        Raises:
            TransfersBusyError: there is no place.
        """
        for held, limit in ((self._open[tenant], EACH_AT_ONCE), (self._open.total(), AT_ONCE)):
            if held >= limit:
                raise TransfersBusyError(limit)
        self._open[tenant] += 1
        spool = Spool(self._folder())
        try:
            yield spool
        finally:
            self._close(spool, tenant)

    async def fill(self, spool: Spool, pieces: AsyncIterator[bytes]) -> None:
        """Put all that comes into a spool.

        Raises:
            InvalidArgumentError: it is more than may come.
            SessionError: the disk does not take it.
        """
        async for piece in pieces:
            if spool.size + len(piece) > self._import_bytes:
                raise InvalidArgumentError(
                    "data",
                    f"is longer than the {self._import_bytes} bytes that sessions.import_bytes, tenant_bytes and "
                    "disk_bytes leave a session.",
                )
            await self._calls.in_time("import-session", partial(_append, spool, piece))

    async def pieces(self, spool: Spool) -> AsyncIterator[bytes]:
        """All that is in a spool. Raises SessionError where the disk does not give it."""
        for at in range(0, spool.size, PIECE_BYTES):
            try:
                yield await self._calls.in_time("export-session", partial(spool.read, at, PIECE_BYTES))
            except OSError as error:
                raise SessionError(f"The session cannot be exported: {error}. Try again.") from error

    def _close(self, spool: Spool, tenant: str) -> None:
        """Let it go, not here: that waits for whoever still works on it, because who asked for that has left."""

        def closed(done: "asyncio.Future[None]") -> None:
            self._open -= Counter((tenant,))
            if not done.cancelled():
                # Looked at: of a file without a name nothing is lost.
                done.exception()

        try:
            start_apart("close-spool", spool.close).add_done_callback(closed)
        except RuntimeError:
            # Without a thread left nobody works on it either, and it is closed with its last holder.
            self._open -= Counter((tenant,))


def _append(spool: Spool, piece: bytes) -> None:
    try:
        spool.append((piece,))
    except OSError as error:
        raise SessionError(f"The session cannot be imported: {error}.") from error
