"""Sessions' files on the wire: in pieces, and at a pace. A side that is too slow gives up its place."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from autoglmd.errors.request import InvalidArgumentError
from autoglmd.errors.session import TransferStalledError
from openglm.v1 import sessions_pb2

STALL_SECONDS = 60.0
PIECE_BYTES = 1 << 20
_LEAST_BYTES_PER_SECOND = 1 << 16


class Pace:
    """How long the other side of one transfer may still take: a while, and for what it has moved the time for as much.

    So who moves a little now and then gives up his place as well.
    """

    def __init__(self, stall_seconds: float) -> None:
        """`stall_seconds`: for which it may be late, however much it has moved."""
        self._most_seconds = stall_seconds
        self._left_seconds = stall_seconds

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Wait for the other side here. Raises TransferStalledError where it takes longer."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(self._left_seconds):
                yield
        except TimeoutError:
            raise TransferStalledError(self._most_seconds) from None
        self._left_seconds -= loop.time() - begun

    def moved(self, count: int) -> None:
        """So many bytes more were sent or taken."""
        self._left_seconds = min(self._left_seconds + count / _LEAST_BYTES_PER_SECOND, self._most_seconds)


async def next_of(
    requests: AsyncGenerator[sessions_pb2.ImportSessionRequest, None], pace: Pace
) -> sessions_pb2.ImportSessionRequest | None:
    """The next message, or `None` at the end. Raises TransferStalledError."""
    async with pace.kept():
        request = await anext(requests, None)
    pace.moved(0 if request is None else len(request.data))
    return request


async def file_pieces(
    first: sessions_pb2.ImportSessionRequest,
    requests: AsyncGenerator[sessions_pb2.ImportSessionRequest, None],
    pace: Pace,
) -> AsyncGenerator[bytes, None]:
    """The file's pieces, the first message's included.

    Raises:
        InvalidArgumentError: one is too large, or names the session again.
        TransferStalledError: they come too slowly.
    """
    request: sessions_pb2.ImportSessionRequest | None = first
    while request is not None:
        if len(request.data) > PIECE_BYTES:
            raise InvalidArgumentError("data", f"has {len(request.data)} bytes; a piece has at most {PIECE_BYTES}.")
        if request is not first and request.session_id:
            raise InvalidArgumentError("session_id", "is in the first message alone.")
        yield request.data
        request = await next_of(requests, pace)
