"""An answer while it comes, for the blocking client."""

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc

from openglm._cancellation import CANCELLED_HERE
from openglm._errors import OpenGLMError, RequestCancelledError
from openglm._events import CompletionBuilder, StreamState
from openglm._models import Completion, Event, Token


class CompletionStream(Iterator[Event]):
    """The events of one answer: Started, PrefillProgress on long prompts, Token, and one Finished.

    Where the daemon ends it by an error or a deadline, Finished comes first, and the error after it. Leaving it as a
    context manager, or `cancel`, ends the generation in the daemon within one step. The call is made at the first
    `next`.

    Iterating raises OpenGLMError subclasses; RequestCancelledError after `cancel`.
    """

    def __init__(
        self,
        open_call: Callable[[float | None], Any],
        state: StreamState,
        to_error: Callable[[grpc.RpcError], OpenGLMError],
        sleep: Callable[[float], object] | None,
    ) -> None:
        self._open_call = open_call
        self._state = state
        self._to_error = to_error
        self._cancelled = threading.Event()
        self._sleep = sleep or self._cancelled.wait
        self._call: Any = None

    def __next__(self) -> Event:
        event = None
        while event is None:
            try:
                event = self._read()
                continue
            except grpc.RpcError as failure:
                error = self._to_error(failure)
            event = self._state.cut_off(error)
            if event is not None:
                break
            # Outside of `except`: the typed error says it all, and gRPC's own would bury it in the traceback.
            self._sleep(self._state.delay_after(error))
            self._call = None
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """End the generation, if it still runs. May be called from another thread."""
        self._cancelled.set()
        # Once: the reader's thread may set it to None meanwhile.
        call = self._call
        if call is not None:
            call.cancel()

    def texts(self) -> Iterator[str]:
        """The pieces of text alone, as they come."""
        return (event.text for event in self if isinstance(event, Token))

    def completion(self) -> Completion:
        """Read to the end and return the answer of all events that this call read."""
        builder = CompletionBuilder()
        for event in self:
            builder.add(event)
        return builder.build()

    def _read(self) -> Event | None:
        if self._cancelled.is_set():
            raise RequestCancelledError(CANCELLED_HERE)
        if self._call is None:
            self._call = self._open_call(self._state.remaining())
            if self._cancelled.is_set():
                # While it was opened: `cancel` had no call yet, and nobody else would ever end this one.
                self._call.cancel()
        try:
            message = next(self._call)
        except StopIteration:
            self._state.check_end()
            raise
        return self._state.read(message)
