"""A real server on a real Unix socket, with a scripted gateway behind it, and a channel to it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest_asyncio

from autoglmd.config.rooms import ServerConfig
from autoglmd.edge.server import EdgeServer
from autoglmd.host.clock import SystemClock
from openglm.v1 import admin_pb2_grpc, inference_pb2_grpc, models_pb2_grpc, sessions_pb2_grpc
from tests.support.fake_gateway import FakeGateway
from tests.support.fake_sessions import FakeSessions


@dataclass
class Door:
    """What a contract test talks to."""

    gateway: FakeGateway
    sessions: FakeSessions
    server: EdgeServer
    channel: grpc.aio.Channel

    @property
    def inference(self) -> inference_pb2_grpc.InferenceStub:
        """The Inference service."""
        return inference_pb2_grpc.InferenceStub(self.channel)

    @property
    def models(self) -> models_pb2_grpc.ModelsStub:
        """The Models service."""
        return models_pb2_grpc.ModelsStub(self.channel)

    @property
    def session_stub(self) -> sessions_pb2_grpc.SessionsStub:
        """The Sessions service."""
        return sessions_pb2_grpc.SessionsStub(self.channel)

    @property
    def admin(self) -> admin_pb2_grpc.AdminStub:
        """The Admin service."""
        return admin_pb2_grpc.AdminStub(self.channel)


@pytest_asyncio.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """A serving daemon's edge and a client's channel."""
    gateway, sessions = FakeGateway(), FakeSessions()
    server = EdgeServer(ServerConfig(socket=tmp_path / "s"), gateway, sessions, SystemClock())
    await server.start()
    await server.set_serving(True)
    async with grpc.aio.insecure_channel(f"unix:{server.socket}") as channel:
        yield Door(gateway, sessions, server, channel)
    await server.stop(0)
