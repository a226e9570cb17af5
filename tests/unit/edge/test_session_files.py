"""Sessions' files on the wire: how fast they have to go."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from autoglmd.edge.session_files import Pace, file_pieces, next_of
from autoglmd.errors.session import TransferStalledError
from openglm.v1.sessions_pb2 import ImportSessionRequest

LIMIT_SECONDS = 10.0


async def dripping(size: int, count: int, seconds: float) -> AsyncGenerator[ImportSessionRequest, None]:
    """Some bytes, and a pause that is no stall, again and again."""
    for _ in range(count):
        yield ImportSessionRequest(data=b"x" * size)
        await asyncio.sleep(seconds)


async def taken(requests: AsyncGenerator[ImportSessionRequest, None], pace: Pace, sizes: list[int]) -> None:
    """Take all that comes, and note the sizes of its pieces."""
    first = await next_of(requests, pace)
    assert first is not None
    async with asyncio.timeout(LIMIT_SECONDS):
        async for piece in file_pieces(first, requests, pace):
            sizes.append(len(piece))  # noqa: PERF401 - what came before it fails counts


async def test_who_sends_next_to_nothing_is_given_up() -> None:
    """However steadily: he would have one of a few places for as long as he likes."""
    sizes: list[int] = []
    with pytest.raises(TransferStalledError) as failure:
        await taken(dripping(1, 10_000, 0.01), Pace(0.05), sizes)
    assert len(sizes) < 10
    assert failure.value.stalled_seconds == 0.05


async def test_who_sends_enough_may_take_longer_in_all() -> None:
    """Each piece earns the time for as many bytes."""
    sizes: list[int] = []
    await taken(dripping(1 << 20, 9, 0.05), Pace(0.4), sizes)
    assert len(sizes) == 9
