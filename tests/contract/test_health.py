"""`grpc.health.v1` and reflection, as their ordinary clients see them."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from autoglmd.edge.server import HEALTH, SERVICES
from tests.contract.conftest import Door

LIMIT_SECONDS = 5
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def state(door: Door, service: str) -> int:
    """What Check says."""
    stub = health_pb2_grpc.HealthStub(door.channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


@pytest.mark.parametrize("service", ["", *SERVICES, HEALTH])
async def test_every_service_has_the_daemons_state(door: Door, service: str) -> None:
    """The empty name stands for the whole daemon."""
    assert await state(door, service) == SERVING
    await door.server.set_serving(False)
    assert await state(door, service) == NOT_SERVING


async def test_an_unknown_service_is_not_found(door: Door) -> None:
    """As the protocol says."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await state(door, "openglm.v1.Nothing")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watch_tells_of_each_change_as_it_happens(door: Door) -> None:
    """A balancer learns that we drain before a request fails."""
    stub = health_pb2_grpc.HealthStub(door.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="openglm.v1.Inference"))
    async with asyncio.timeout(LIMIT_SECONDS):
        assert (await watch.read()).status == SERVING
        await door.server.set_serving(False)
        assert (await watch.read()).status == NOT_SERVING
        await door.server.set_serving(True)
        assert (await watch.read()).status == SERVING
        await door.server.drain()
        assert (await watch.read()).status == NOT_SERVING
    watch.cancel()


async def test_a_draining_daemon_does_not_serve_again(door: Door) -> None:
    """A late READY of some model must not bring callers back."""
    await door.server.drain()
    await door.server.set_serving(True)
    assert await state(door, "") == NOT_SERVING


async def ask_reflection(
    door: Door, request: reflection_pb2.ServerReflectionRequest
) -> reflection_pb2.ServerReflectionResponse:
    """One question, one answer."""
    call = reflection_pb2_grpc.ServerReflectionStub(door.channel).ServerReflectionInfo(iter([request]))
    return await call.read()


async def test_reflection_lists_every_service(door: Door) -> None:
    """So that generic clients need no proto files."""
    response = await ask_reflection(door, reflection_pb2.ServerReflectionRequest(list_services=""))
    listed = {service.name for service in response.list_services_response.service}
    assert listed == {*SERVICES, HEALTH, "grpc.reflection.v1alpha.ServerReflection"}


async def test_reflection_describes_our_contract(door: Door) -> None:
    """The file that defines a method comes as a descriptor."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="openglm.v1.Inference")
    response = await ask_reflection(door, request)
    assert b"openglm/v1/inference.proto" in response.file_descriptor_response.file_descriptor_proto[0]
