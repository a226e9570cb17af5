"""An answer while it comes, for the blocking client."""

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc

from openglm._answer_calls import StreamCall
from openglm._cancellation import CANCELLED_HERE
from openglm._errors import OpenGLMError, RequestCancelledError
from openglm._events import CompletionBuilder
from openglm._models import Completion, Event, Finished, Token
from openglm._stream_state import StreamState


class CompletionStream(Iterator[Event]):
    """The events of one answer: Started, PrefillProgress on long prompts, Token, and one Finished.

    An answer whose connection or daemon is lost goes on as soon as the daemon is back; see RetryPolicy. Where the
    daemon ends it by an error or a deadline, Finished comes first, and the error after it. Leaving it as a context
    manager, or `cancel`, ends the generation in the daemon within one step. The call is made at the first `next`.

    Iterating raises OpenGLMError subclasses; RequestCancelledError after `cancel`.
    """

    def __init__(
        self,
        open_call: Callable[[StreamCall, float | None], Any],
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
        while True:
            event = self._step()
            if event is not None:
                return event

    def _step(self) -> Event | None:
        """One message, or what its absence means; `None` where the caller need not see it."""
        error: OpenGLMError | None
        try:
            message = self._receive()
        except StopIteration:
            error = self._state.cut_short()
            if error is None:
                raise
        except grpc.RpcError as failure:
            error = self._to_error(failure)
        else:
            return self._state.read(message)
        # Outside of `except`: the typed error says it all, and gRPC's own would bury it in the traceback.
        after = self._state.settle(error)
        if after is None:
            raise StopIteration
        if isinstance(after, Finished):
            return after
        # The seconds after which it is worth trying again.
        self._sleep(after)
        self._call = None
        return None

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

    def _receive(self) -> Any:
        self._state.check_over()
        if self._cancelled.is_set():
            raise RequestCancelledError(CANCELLED_HERE)
        if self._call is None:
            self._call = self._state.open(self._open_call)
            if self._cancelled.is_set():
                # While it was opened: `cancel` had no call yet, and nobody else would ever end this one.
                self._call.cancel()
        return next(self._call)
