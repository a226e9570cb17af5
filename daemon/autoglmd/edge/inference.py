"""The `Inference` service."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import grpc
from google.protobuf.message import Message

from autoglmd.edge.guard import abort
from autoglmd.edge.port import GatewayPort
from autoglmd.edge.requests import (
    CallFacts,
    cancelled_request_id,
    generation_request,
    known_tenant,
    model_name,
    resumption_request,
    tokenize_prompt,
)
from autoglmd.edge.responses import event_response, resumed_response, tokenize_response
from autoglmd.edge.status import status_of, status_of_deadline
from autoglmd.edge.streams import OpenStreams
from autoglmd.edge.tenant import tenant_of
from autoglmd.errors.availability import DrainingError
from autoglmd.errors.base import AutoglmError
from autoglmd.host.clock import Clock
from autoglmd.messages.generation import Finished, FinishReason, StreamEvent
from autoglmd.telemetry.scope import current_scope, name_request
from openglm.v1 import inference_pb2


class InferenceServicer:
    """Answers with what the gateway streams. Methods bear the contract's names, in snake case."""

    def __init__(self, gateway: GatewayPort, streams: OpenStreams, clock: Clock) -> None:
        self._gateway = gateway
        self._streams = streams
        self._clock = clock

    async def generate(self, request: inference_pb2.GenerateRequest, context: grpc.aio.ServicerContext) -> None:
        """Stream one answer. A caller that leaves cancels this task, which closes the gateway's generator."""
        with self._streams.one():
            generation = generation_request(request, self._facts(context))
            name_request(generation.request_id)
            finished = await _written(self._gateway.generate(generation), event_response, context)
        await _end(finished, context)

    async def resume(self, request: inference_pb2.ResumeRequest, context: grpc.aio.ServicerContext) -> None:
        """Stream the rest of a session's last answer."""
        with self._streams.one():
            asked = resumption_request(request, self._facts(context))
            if asked.request_id:
                name_request(asked.request_id)
            finished = await _written(self._gateway.resume(asked), resumed_response, context)
        await _end(finished, context)

    async def tokenize(
        self, request: inference_pb2.TokenizeRequest, _context: grpc.aio.ServicerContext
    ) -> inference_pb2.TokenizeResponse:
        """Token ids of a prompt."""
        tokens = await self._gateway.tokenize(model_name(request.model), tokenize_prompt(request))
        return tokenize_response(tokens)

    async def cancel(
        self, request: inference_pb2.CancelRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.CancelResponse:
        """Mark a running request of the caller's as cancelled."""
        request_id, tenant = cancelled_request_id(request), known_tenant(lambda: tenant_of(context))
        return inference_pb2.CancelResponse(cancelled=self._gateway.cancel(request_id, tenant))

    def _facts(self, context: grpc.aio.ServicerContext) -> CallFacts:
        arrived, trace_id = self._clock.monotonic(), current_scope().trace_id
        return CallFacts(arrived, context.time_remaining(), trace_id, lambda: tenant_of(context))


async def _written(
    stream: AsyncGenerator[StreamEvent, None],
    response: Callable[[StreamEvent], Message],
    context: grpc.aio.ServicerContext,
) -> Finished:
    """Write every event; return the last."""
    event = None
    async with aclosing(stream) as events:
        async for event in events:
            await context.write(response(event))
    if not isinstance(event, Finished):
        raise TypeError(f"the stream ended with {type(event).__name__} instead of Finished")
    return event


async def _end(finished: Finished, context: grpc.aio.ServicerContext) -> None:
    """The RPC's status, after Finished was written: OK, or what the reason says."""
    match finished.reason:
        case FinishReason.DEADLINE:
            await abort(context, status_of_deadline())
        case FinishReason.SHUTDOWN:
            await _abort_with(finished.error or DrainingError(), context)
        case FinishReason.ERROR:
            await _abort_with(finished.error or AutoglmError("The engine did not say why it failed."), context)
        case _:
            return


async def _abort_with(error: Exception, context: grpc.aio.ServicerContext) -> None:
    if not isinstance(error, AutoglmError):
        # Not one of ours: the guard logs it, and tells nobody outside what it was.
        raise error
    await abort(context, status_of(error))
