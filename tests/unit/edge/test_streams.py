"""The count of open streams."""

import asyncio

import pytest

from autoglmd.edge.streams import OpenStreams


async def test_waiting_ends_with_the_last_stream() -> None:
    """Not with the first."""
    streams = OpenStreams()
    with streams.one():
        with streams.one():
            assert streams.count == 2
        assert not await streams.wait_until_none(0)
        waiting = asyncio.create_task(streams.wait_until_none(10))
    assert await waiting
    assert streams.count == 0


async def test_without_streams_there_is_nothing_to_wait_for() -> None:
    """Even with no time at all."""
    assert await OpenStreams().wait_until_none(0)


async def test_a_stream_that_fails_is_no_longer_open() -> None:
    """Every way out counts."""
    streams = OpenStreams()
    with pytest.raises(RuntimeError), streams.one():
        raise RuntimeError
    assert streams.count == 0
