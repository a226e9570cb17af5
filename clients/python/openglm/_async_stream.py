"""An answer while it comes, for the asyncio client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import grpc

from openglm._answer_calls import StreamCall
from openglm._cancellation import CANCELLED_HERE, typed_cancellation
from openglm._errors import OpenGLMError, RequestCancelledError
from openglm._events import CompletionBuilder
from openglm._models import Completion, Event, Finished, Token
from openglm._stream_state import StreamState


class AsyncCompletionStream(AsyncIterator[Event]):
    """The events of one answer: Started, PrefillProgress on long prompts, Token, and one Finished.

    An answer whose connection or daemon is lost goes on as soon as the daemon is back; see RetryPolicy. Where the
    daemon ends it by an error or a deadline, Finished comes first, and the error after it. Leaving it as an async
    context manager, `cancel`, or cancelling the task that reads it ends the generation in the daemon within one step.
    The call is made at the first `anext`.

    Iterating raises OpenGLMError subclasses; RequestCancelledError after `cancel`.
    """

    def __init__(
        self,
        open_call: Callable[[StreamCall, float | None], Any],
        state: StreamState,
        to_error: Callable[[grpc.RpcError], OpenGLMError],
        sleep: Callable[[float], Awaitable[object]] | None,
    ) -> None:
        self._open_call = open_call
        self._state = state
        self._to_error = to_error
        self._sleep = sleep
        self._call: Any = None
        self._cancelled = asyncio.Event()

    async def __anext__(self) -> Event:
        while True:
            event = await self._step()
            if event is not None:
                return event

    async def _step(self) -> Event | None:
        """One message, or what its absence means; `None` where the caller need not see it."""
        error: OpenGLMError | None
        try:
            message = await self._receive()
        except grpc.RpcError as failure:
            error = self._to_error(failure)
        else:
            if message is not grpc.aio.EOF:
                return self._state.read(message)
            error = self._state.cut_short()
        # Outside of `except`: the typed error says it all, and gRPC's own would bury it in the traceback.
        after = None if error is None else self._state.settle(error)
        if after is None:
            raise StopAsyncIteration
        if isinstance(after, Finished):
            return after
        await (self._sleep or self._wait_cancelled)(after)
        self._call = None
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """End the generation, if it still runs. For the event loop's own thread."""
        self._cancelled.set()
        if self._call is not None:
            self._call.cancel()

    async def texts(self) -> AsyncIterator[str]:
        """The pieces of text alone, as they come."""
        async for event in self:
            if isinstance(event, Token):
                yield event.text

    async def completion(self) -> Completion:
        """Read to the end and return the answer of all events that this call read."""
        builder = CompletionBuilder()
        async for event in self:
            builder.add(event)
        return builder.build()

    async def _receive(self) -> Any:
        self._state.check_over()
        if self._cancelled.is_set():
            raise RequestCancelledError(CANCELLED_HERE)
        if self._call is None:
            self._call = self._state.open(self._open_call)
        with typed_cancellation(self._call):
            return await self._call.read()

    async def _wait_cancelled(self, limit_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_seconds):
                await self._cancelled.wait()
