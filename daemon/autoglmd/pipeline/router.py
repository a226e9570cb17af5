"""Carries what the engine and prefetch threads say to the streams on the event loop."""

import asyncio
import logging
from collections.abc import Callable

from autoglmd.engine.sequence import EngineEvent

log = logging.getLogger(__name__)


class Router:
    """One crossing of threads per step, however many streams it feeds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._listeners: dict[str, Callable[[EngineEvent], None]] = {}

    def listen(self, sequence_id: str, listener: Callable[[EngineEvent], None]) -> None:
        """On the loop: hand this sequence's events to a listener."""
        self._listeners[sequence_id] = listener

    def forget(self, sequence_id: str) -> None:
        """On the loop: drop what still comes for a sequence."""
        self._listeners.pop(sequence_id, None)

    def deliver(self, events: tuple[EngineEvent, ...]) -> None:
        """From any thread: hand events to their listeners."""
        self.call(lambda: self._dispatch(events))

    def call(self, function: Callable[[], None]) -> None:
        """From any thread: run something on the loop. A loop that has closed has nobody left who listens."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def _dispatch(self, events: tuple[EngineEvent, ...]) -> None:
        for event in events:
            listener = self._listeners.get(event.sequence_id)
            try:
                if listener is not None:
                    listener(event)
            except Exception:
                # A defect of ours; the streams behind it in the step are not to blame.
                log.exception("what the engine said was not heard")
