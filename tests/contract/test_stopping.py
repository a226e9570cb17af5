"""How the edge stops: health first, then the line, then the streams, then the socket."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from autoglmd.config.rooms import ServerConfig
from autoglmd.edge.server import EdgeServer
from autoglmd.errors.availability import DrainingError
from autoglmd.host.clock import SystemClock
from openglm.v1 import admin_pb2, inference_pb2
from tests.contract.conftest import Door
from tests.support.fake_gateway import FakeGateway
from tests.support.fake_sessions import FakeSessions
from tests.support.rich_status import reason

REQUEST = inference_pb2.GenerateRequest(prompt="a")
LIMIT_SECONDS = 10
LONG_SECONDS = 600


@pytest_asyncio.fixture
async def running(door: Door) -> AsyncIterator[grpc.aio.UnaryStreamCall]:
    """A stream that runs until the gateway is let go."""
    door.gateway.hold.clear()
    call = door.inference.Generate(REQUEST)
    await asyncio.wait_for(door.gateway.streaming.wait(), LIMIT_SECONDS)
    yield call
    call.cancel()


async def test_a_running_stream_ends_as_it_would_have(door: Door, running: grpc.aio.UnaryStreamCall) -> None:
    """Stopping waits for it."""
    stopping = asyncio.create_task(door.server.stop(LONG_SECONDS))
    async with asyncio.timeout(LIMIT_SECONDS):
        await door.server.drain()
        assert not stopping.done()
        door.gateway.hold.set()
        events = [event async for event in running]
        await stopping
    assert events[-1].finished.reason == inference_pb2.FINISH_REASON_STOP


async def test_new_streams_are_refused_while_old_ones_run(door: Door, running: grpc.aio.UnaryStreamCall) -> None:
    """UNAVAILABLE with DRAINING, once the gateway says so; operators can still ask and cancel."""
    await door.server.drain()
    door.gateway.refusal = DrainingError()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.inference.Generate(REQUEST).read()
    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    await door.admin.Status(admin_pb2.StatusRequest())
    assert door.server._streams.count == 1


async def test_health_says_not_serving_while_streams_still_run(door: Door, running: grpc.aio.UnaryStreamCall) -> None:
    """Before the first refusal, not after the last answer."""
    stub = health_pb2_grpc.HealthStub(door.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    async with asyncio.timeout(LIMIT_SECONDS):
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.create_task(door.server.stop(LONG_SECONDS))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert door.server._streams.count == 1
        door.gateway.hold.set()
        await stopping


async def test_a_stream_beyond_the_limit_is_cut_off(door: Door, running: grpc.aio.UnaryStreamCall) -> None:
    """And the gateway's generator is closed."""
    async with asyncio.timeout(LIMIT_SECONDS):
        await door.server.stop(0.05)
        await door.gateway.closed.wait()
    assert door.server._streams.count == 0


async def test_a_health_watcher_does_not_delay_the_stop(door: Door) -> None:
    """Its stream has no end of its own."""
    stub = health_pb2_grpc.HealthStub(door.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    await watch.read()
    async with asyncio.timeout(LIMIT_SECONDS):
        await door.server.stop(LONG_SECONDS)
    assert not door.server.socket.exists()


async def test_the_socket_is_gone_after_the_stop_and_free_for_the_next(tmp_path: Path) -> None:
    """A restart needs no cleaning, and stopping twice is harmless."""
    for _ in range(2):
        server = EdgeServer(ServerConfig(socket=tmp_path / "s"), FakeGateway(), FakeSessions(), SystemClock())
        await server.start()
        await server.stop(0)
        await server.stop(0)
        assert not server.socket.exists()


async def test_a_server_that_never_started_can_be_stopped(tmp_path: Path) -> None:
    """The clean-up after a failed start needs no special case."""
    server = EdgeServer(ServerConfig(socket=tmp_path / "s"), FakeGateway(), FakeSessions(), SystemClock())
    await server.stop(0)
    assert not server.socket.exists()
