"""An answer while it comes, for the blocking client."""

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc

from openglm._errors import OpenGLMError, RequestCancelledError
from openglm._events import CompletionBuilder, StreamState
from openglm._models import Completion, Event, Token


class CompletionStream(Iterator[Event]):
    """The events of one answer: Started, PrefillProgress on long prompts, Token, and one Finished.

    Leaving it as a context manager, or `cancel`, ends the generation in the daemon within one step. The call is made
    at the first `next`.

    Iterating raises OpenGLMError subclasses; RequestCancelledError after `cancel`.
    """

    def __init__(
        self,
        open_call: Callable[[float | None], Any],
        state: StreamState,
        to_error: Callable[[grpc.RpcError], OpenGLMError],
        sleep: Callable[[float], None],
    ) -> None:
        self._open_call = open_call
        self._state = state
        self._to_error = to_error
        self._sleep = sleep
        self._call: Any = None
        self._cancelled = False

    def __next__(self) -> Event:
        event = None
        while event is None:
            try:
                event = self._read()
                continue
            except grpc.RpcError as failure:
                error = self._to_error(failure)
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
        self._cancelled = True
        if self._call is not None:
            self._call.cancel()

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
        if self._cancelled:
            raise RequestCancelledError("The stream was cancelled.")
        if self._call is None:
            self._call = self._open_call(self._state.remaining())
        try:
            message = next(self._call)
        except StopIteration:
            self._state.check_end()
            raise
        return self._state.read(message)
