"""How other threads speak to the engine thread: a line of frozen commands that never blocks the sender."""

import threading
from collections import deque
from dataclasses import dataclass

from autoglmd.engine.sequence import SequenceRequest
from autoglmd.messages import FinishReason


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

    def put(self, command: Command) -> None:
        """Append a command, from any thread."""
        with self._arrived:
            self._commands.append(command)
            self._arrived.notify()

    def take(self, *, wait: bool) -> tuple[Command, ...]:
        """Everything that is there; with `wait`, sleep until there is something."""
        with self._arrived:
            while wait and not self._commands:
                self._arrived.wait()
            taken = tuple(self._commands)
            self._commands.clear()
        return taken
