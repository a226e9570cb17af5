"""The guard at the door, over a real socket: what a method raises, and callers who leave at any moment."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from autoglmd.edge.guard import Guard
from autoglmd.host.clock import SystemClock

METHOD = "/test.Door/Call"
CALLERS = 400


@asynccontextmanager
async def door(folder: Path, answer: Callable[[Any, Any], Awaitable[Any]]) -> AsyncIterator[grpc.aio.Channel]:
    """A server with one streaming method behind a guard, and a channel to it."""
    guard = Guard(METHOD, Empty, answer, SystemClock())
    handler = grpc.unary_stream_rpc_method_handler(guard.call, response_serializer=Empty.SerializeToString)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Door", {"Call": handler}),))
    server.add_insecure_port(f"unix:{folder / 's'}")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"unix:{folder / 's'}") as channel:
            yield channel
    finally:
        await server.stop(grace=5)


def call(channel: grpc.aio.Channel, timeout: float | None = None) -> Any:
    """Call the method."""
    method = channel.unary_stream(METHOD, request_serializer=Empty.SerializeToString)
    return method(Empty(), timeout=timeout)


async def test_callers_who_leave_at_any_moment_are_no_error_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever step of the call their leaving meets."""

    async def answer(_: Any, context: grpc.aio.ServicerContext) -> None:
        for _ in range(3):
            await context.write(Empty())

    async def leave(channel: grpc.aio.Channel, chance: random.Random) -> None:
        started = call(channel)
        await asyncio.sleep(chance.random() * 0.02)
        started.cancel()
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await started.read()

    chance = random.Random(1)  # noqa: S311 - when to leave is no secret
    with caplog.at_level(logging.WARNING):
        async with door(tmp_path, answer) as channel:
            await asyncio.gather(*(leave(channel, chance) for _ in range(CALLERS)))
    assert caplog.records == []


async def test_a_write_that_fails_because_the_call_is_over_ends_it_as_cancelled() -> None:
    """Of a cancelled call gRPC writes no log, of one that raises it does."""

    class Gone:
        """A context whose caller has left, before gRPC has noted that."""

        def invocation_metadata(self) -> tuple[()]:
            return ()

        async def send_initial_metadata(self, _: object) -> None:
            raise grpc.aio.InternalError("Failed execute_batch")

    async def answer(_: Any, __: Any) -> None:
        raise AssertionError("nobody is there to be answered")

    with pytest.raises(asyncio.CancelledError):
        await Guard(METHOD, Empty, answer, SystemClock()).call(b"", Gone())


async def test_wrong_use_of_grpc_stays_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Metadata sent twice is a defect of ours, not a caller who left."""

    async def answer(_: Any, context: grpc.aio.ServicerContext) -> None:
        await context.send_initial_metadata(())

    async with door(tmp_path, answer) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(channel).read()
    assert refused.value.code() is grpc.StatusCode.UNKNOWN
    assert caplog.records
