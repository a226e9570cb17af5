"""Whose cancellation it was: asyncio has one exception for that of a task and that of a call."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from openglm._errors import RequestCancelledError

CANCELLED_HERE = "The call was cancelled on this side."


@contextlib.contextmanager
def typed_cancellation(call: Any) -> Iterator[None]:
    """Around awaiting `call`: raise RequestCancelledError where the call was cancelled, and not the task that awaits.

    gRPC raises asyncio's own error for both, and a task group takes that for an end that somebody wanted.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not call.cancelled() or (task is not None and task.cancelling()):
            raise
        raise RequestCancelledError(CANCELLED_HERE) from None
