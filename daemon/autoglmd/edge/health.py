"""`grpc.health.v1`: one state for the daemon and each of its services."""

import asyncio
import logging
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

log = logging.getLogger(__name__)

SET_SECONDS = 1.0


class Health:
    """NOT_SERVING until told otherwise, and for good once the daemon stops.

    Args:
        services: full names; the empty one, which stands for the whole daemon, is added.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._services = ("", *services)
        self._servicer = health.aio.HealthServicer()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve Check and Watch."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set_serving(self, serving: bool) -> None:
        """Tell all who ask or watch. After `shut_down` this does nothing."""
        state = health_pb2.HealthCheckResponse
        for service in self._services:
            await _bounded(self._servicer.set(service, state.SERVING if serving else state.NOT_SERVING))

    async def shut_down(self) -> None:
        """NOT_SERVING, and no way back."""
        await _bounded(self._servicer.enter_graceful_shutdown())


async def _bounded(change: "asyncio.Future[None]") -> None:
    """The servicer writes to watchers under a lock: one that reads nothing must not keep us from stopping."""
    try:
        async with asyncio.timeout(SET_SECONDS):
            await change
    except TimeoutError:
        log.warning("a health watcher does not read; others may not have been told")
