"""The guard at the door: every call of ours passes it, so no servicer sees bad bytes or speaks status codes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from autoglmd.edge.status import status_of, status_of_unexpected
from autoglmd.edge.trace import HEADER, trace_of
from autoglmd.edge.wire import decode
from autoglmd.errors.base import AutoglmError
from autoglmd.host.clock import Clock
from autoglmd.telemetry.scope import current_scope, request_scope

log = logging.getLogger(__name__)

Answer = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]


class Guard:
    """Wraps one method: decodes its request, names its trace, and turns what it raises into a status.

    Args:
        method: the full name, for logs.
        kind: the request's class.
        answer: the servicer's coroutine.
    """

    def __init__(self, method: str, kind: type[Message], answer: Answer, clock: Clock) -> None:
        self._method = method
        self._kind = kind
        self._answer = answer
        self._clock = clock

    async def call(self, raw: bytes, context: grpc.aio.ServicerContext) -> Any:
        """What gRPC calls, with the undecoded request."""
        return await self._traced(lambda: decode(raw, self._kind), context)

    async def call_stream(self, raws: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> Any:
        """The same with a stream of them, each of which is decoded when the servicer comes to it."""
        return await self._traced(lambda: (decode(raw, self._kind) async for raw in raws), context)

    async def _traced(self, request: Callable[[], Any], context: grpc.aio.ServicerContext) -> Any:
        trace = trace_of(context.invocation_metadata())
        started = self._clock.monotonic()
        with request_scope(trace_id=trace.trace_id):
            outcome = "UNKNOWN"
            try:
                await context.send_initial_metadata(((HEADER, trace.traceparent),))
                response = await self._guarded(request, context)
                outcome = "OK"
            except grpc.aio.AbortError:
                outcome = _code_name(context)
                raise
            except asyncio.CancelledError:
                # The caller left, or its deadline passed: nobody is there to be told.
                outcome = "CANCELLED"
                raise
            except grpc.aio.InternalError as error:
                # The same, seen by a write before gRPC noted it: as such gRPC would log it as an error of ours.
                outcome = "CANCELLED"
                raise asyncio.CancelledError from error
            finally:
                elapsed_ms = round((self._clock.monotonic() - started) * 1e3, 3)
                log.debug("call", extra={"method": self._method, "code": outcome, "elapsed_ms": elapsed_ms})
            return response

    async def _guarded(self, request: Callable[[], Any], context: grpc.aio.ServicerContext) -> Any:
        try:
            return await self._answer(request(), context)
        except AutoglmError as error:
            log.info("refused", extra={"method": self._method, "code": error.code, "reason": error.message})
            status = status_of(error)
        except grpc.aio.BaseError:
            raise
        except Exception:
            log.exception("unexpected error", extra={"method": self._method})
            status = status_of_unexpected(current_scope().request_id, current_scope().trace_id)
        return await abort(context, status)


async def abort(context: grpc.aio.ServicerContext, status: status_pb2.Status) -> None:
    """End the call with a status and its details. Raises grpc.aio.AbortError, always."""
    await context.abort_with_status(rpc_status.to_status(status))


def _code_name(context: grpc.aio.ServicerContext) -> str:
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else str(code)
