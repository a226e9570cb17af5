"""`grpc.health.v1`: one state for the daemon and each of its services."""

import asyncio
import logging
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

log = logging.getLogger(__name__)

TELL_SECONDS = 1.0


class Health:
    """Says what `set_serving` said last, and NOT_SERVING for good once the daemon stops.

    Args:
        services: full names; the empty one, which stands for the whole daemon, is added.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._services = ("", *services)
        self._servicer = health.aio.HealthServicer()
        self._stopping = False

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve Check and Watch."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set_serving(self, serving: bool) -> None:
        """Tell all who ask or watch. After `shut_down` this does nothing."""
        if not self._stopping:
            await self._tell_all(serving)

    async def shut_down(self) -> None:
        """NOT_SERVING, and no way back. A second call does nothing."""
        if not self._stopping:
            self._stopping = True
            await self._tell_all(serving=False)

    async def _tell_all(self, serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        state = states.SERVING if serving else states.NOT_SERVING
        await asyncio.gather(*(self._tell(service, state) for service in self._services))

    async def _tell(self, service: str, state: int) -> None:
        # The servicer writes to watchers under a lock: one that reads nothing must not keep us from stopping.
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self._servicer.set(service, state)
        except TimeoutError:
            log.warning("a health watcher does not read", extra={"service": service})
