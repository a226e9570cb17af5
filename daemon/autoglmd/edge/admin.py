"""The `Admin` service."""

import grpc

from autoglmd.edge.port import GatewayPort
from autoglmd.edge.responses import status_response
from openglm.v1 import admin_pb2


class AdminServicer:
    """Says how the daemon is. Methods bear the contract's names, in snake case."""

    def __init__(self, gateway: GatewayPort) -> None:
        self._gateway = gateway

    async def status(
        self, _request: admin_pb2.StatusRequest, _context: grpc.aio.ServicerContext
    ) -> admin_pb2.StatusResponse:
        """The daemon's state and counters."""
        return status_response(self._gateway.status())
