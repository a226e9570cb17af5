"""The `Models` service."""

import grpc

from autoglmd.edge.port import GatewayPort
from autoglmd.edge.requests import model_name
from autoglmd.edge.responses import model_response
from openglm.v1 import models_pb2


class ModelsServicer:
    """Says which models are served. Methods bear the contract's names, in snake case."""

    def __init__(self, gateway: GatewayPort) -> None:
        self._gateway = gateway

    async def list_models(
        self, _request: models_pb2.ListModelsRequest, _context: grpc.aio.ServicerContext
    ) -> models_pb2.ListModelsResponse:
        """Every configured model."""
        return models_pb2.ListModelsResponse(models=[model_response(model) for model in self._gateway.models()])

    async def get_model(
        self, request: models_pb2.GetModelRequest, _context: grpc.aio.ServicerContext
    ) -> models_pb2.GetModelResponse:
        """One model; the default one if the name is empty."""
        model = self._gateway.model(model_name(request.name, field="name"))
        return models_pb2.GetModelResponse(model=model_response(model))
