"""Who may use a session: one at a time, in the order in which they came. Lives on the event loop."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from autoglmd.errors import SessionBusyError
from autoglmd.messages import SessionKey


@dataclass(slots=True, eq=False)
class Lease:
    """A place in a session's line; who has the first one has the session.

    Attributes:
        is_ending: whether its holder's client has had its last word, so that nobody waits for long.
    """

    key: SessionKey
    granted: Callable[[], None]
    is_ending: bool = False


class Leases:
    """Each `enter` is paired with one `leave`."""

    def __init__(self, *, may_wait: bool) -> None:
        """With `may_wait` a session in use is waited for; else who asks for it is refused."""
        self._may_wait = may_wait
        self._lines: dict[SessionKey, deque[Lease]] = {}

    def is_taken(self, key: SessionKey) -> bool:
        """Whether somebody has the session. From any thread."""
        return key in self._lines

    def enter(self, lease: Lease, *, patient: bool = False) -> None:
        """Stand in the line; `granted` is called when the session is free, which may be at once.

        Raises:
            SessionBusyError: somebody has it, who asks is not `patient`, and nobody may wait.
        """
        line = self._lines.get(lease.key, deque())
        if not (self._may_wait or patient or all(holder.is_ending for holder in line)):
            raise SessionBusyError(lease.key.session_id)
        self._lines[lease.key] = line
        line.append(lease)
        if len(line) == 1:
            lease.granted()

    def leave(self, lease: Lease) -> None:
        """Leave the line, from whatever place in it. The next one gets the session."""
        line = self._lines[lease.key]
        was_first = line[0] is lease
        line.remove(lease)
        if not line:
            del self._lines[lease.key]
        elif was_first:
            line[0].granted()

    @contextlib.asynccontextmanager
    async def held(self, key: SessionKey) -> AsyncIterator[None]:
        """Have the session while the block runs, whoever has it before."""
        granted = asyncio.Event()
        lease = Lease(key, granted.set)
        self.enter(lease, patient=True)
        try:
            await granted.wait()
            yield
        finally:
            self.leave(lease)
