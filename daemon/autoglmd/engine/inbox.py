"""How other threads speak to the engine thread: a line of frozen commands that never blocks the sender."""

import threading
from collections import deque
from dataclasses import dataclass

from autoglmd.engine.sequence import SequenceRequest
from autoglmd.messages.generation import FinishReason


@dataclass(frozen=True, slots=True)
class Submit:
    """Run a sequence."""

    request: SequenceRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    """End a sequence at the next step, for this reason."""

    sequence_id: str
    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Ping:
    """Show that the engine thread is alive."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End every sequence with SHUTDOWN and leave the thread."""


Command = Submit | Cancel | Ping | Stop


class Inbox:
    """A line with one reader."""

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._arrived = threading.Condition()
        self._closed = False

    def put(self, command: Command) -> bool:
        """Append a command, from any thread. False: the inbox is closed, and nobody will read it."""
        with self._arrived:
            if not self._closed:
                self._commands.append(command)
                self._arrived.notify()
            return not self._closed

    def close(self) -> tuple[Command, ...]:
        """Take no more. Returns what is there and will not be taken."""
        with self._arrived:
            self._closed = True
        return self.take(wait=False)

    def take(self, *, wait: bool, timeout_seconds: float | None = None) -> tuple[Command, ...]:
        """Everything that is there; with `wait`, sleep until there is something, or for as long as is said."""
        with self._arrived:
            if wait:
                self._arrived.wait_for(lambda: self._commands, timeout_seconds)
            taken = tuple(self._commands)
            self._commands.clear()
        return taken
