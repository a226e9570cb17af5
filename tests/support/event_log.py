"""Collects what an engine emits, and lets a test wait for it without sleeping."""

import threading
from collections.abc import Callable

from autoglmd.engine.sequence import Emitted, Ended, EngineEvent, Kept

LIMIT_SECONDS = 20.0


class EventLog:
    """An engine's `emit`. All methods are safe from any thread.

    Attributes:
        failures: how often taking events raises instead.
        on_event: called in the engine's thread with each event, after it was taken.
    """

    def __init__(self) -> None:
        self._events: list[EngineEvent] = []
        self._arrived = threading.Condition(threading.RLock())
        self.failures = 0
        self.on_event: Callable[[EngineEvent], object] = lambda _event: None

    def __call__(self, events: tuple[EngineEvent, ...]) -> None:
        """Take the events of a step; raise instead as often as `failures` says."""
        with self._arrived:
            if self.failures:
                self.failures -= 1
                raise RuntimeError("emit was told to fail")
            self._events += events
            self._arrived.notify_all()
        for event in events:
            self.on_event(event)

    @property
    def events(self) -> tuple[EngineEvent, ...]:
        """Everything so far."""
        with self._arrived:
            return tuple(self._events)

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds` is true of what has arrived."""
        with self._arrived:
            assert self._arrived.wait_for(holds, LIMIT_SECONDS), f"never came true; {len(self._events)} events"

    def wait_ended(self, *names: str) -> None:
        """Wait until these have ended."""
        self.wait(lambda: set(names) <= {event.sequence_id for event in self._events if isinstance(event, Ended)})

    def wait_tokens(self, name: str, count: int) -> None:
        """Wait until a sequence has so many tokens."""
        self.wait(lambda: len(self.tokens(name)) >= count)

    def ends(self, name: str) -> list[Ended]:
        """How a sequence ended; one entry if all is well."""
        return [event for event in self.events if isinstance(event, Ended) and event.sequence_id == name]

    def kept(self, name: str) -> list[Kept]:
        """What was told of a sequence's row."""
        return [event for event in self.events if isinstance(event, Kept) and event.sequence_id == name]

    def tokens(self, name: str) -> list[int]:
        """A sequence's tokens."""
        return [event.token_id for event in self.emitted(name)]

    def emitted(self, name: str) -> list[Emitted]:
        """A sequence's tokens with all that was told of them."""
        return [event for event in self.events if isinstance(event, Emitted) and event.sequence_id == name]
