"""The health state, where the wire tests cannot reach."""

import asyncio
import logging
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from autoglmd.edge import health
from autoglmd.edge.health import Health

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class DeafWatcher:
    """A caller's end that never takes a message."""

    def __init__(self) -> None:
        self.writing = asyncio.Event()

    async def write(self, _message: object) -> None:
        """Never returns."""
        self.writing.set()
        await asyncio.Event().wait()


async def test_a_watcher_that_does_not_read_keeps_nobody_from_stopping(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The other services are told in time, and the log names the one that was not."""
    monkeypatch.setattr(health, "TELL_SECONDS", 0.01)
    state = Health(["quiet", "watched"])
    await state.set_serving(True)
    deaf = DeafWatcher()
    request = health_pb2.HealthCheckRequest
    watching = asyncio.create_task(state._servicer.Watch(request(service="watched"), deaf))
    await deaf.writing.wait()
    with caplog.at_level(logging.WARNING):
        await state.shut_down()
    context: Any = grpc.aio.ServicerContext
    assert (await state._servicer.Check(request(service="quiet"), context)).status == NOT_SERVING
    assert [vars(record)["service"] for record in caplog.records] == ["watched"]
    watching.cancel()
