"""Who may use a session: one at a time, in the order in which they came. Lives on the event loop."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass

from autoglmd.errors.availability import UnavailableError
from autoglmd.errors.session import SessionBusyError
from autoglmd.messages.sessions import SessionKey


@dataclass(slots=True, eq=False)
class Lease:
    """A place in a session's line; who has the first one has the session.

    Attributes:
        refused: called instead of `granted`, perhaps, with why; the lease is to leave the line then.
        is_ending: whether its holder's client has had its last word, so that nobody waits for long.
        is_stuck: whether its holder waits for a disk that does not answer, so that nobody should.
    """

    key: SessionKey
    granted: Callable[[], None]
    refused: Callable[[Exception], None]
    is_ending: bool = False
    is_stuck: bool = False


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
            UnavailableError: a disk has it, and does not answer.
        """
        line = self._lines.get(lease.key, deque())
        if line and line[0].is_stuck:
            raise _stuck(lease.key)
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
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle(error: Exception | None = None) -> None:
            if not turn.done():
                turn.set_exception(error) if error else turn.set_result(None)

        lease = Lease(key, settle, settle)
        self.enter(lease, patient=True)
        try:
            await turn
            yield
        finally:
            self.leave(lease)

    @contextlib.contextmanager
    def asking_a_disk(self, keys: Iterable[SessionKey], seconds: float) -> Iterator[None]:
        """Who has these sessions asks a disk while the block runs: after so long, others do not wait for them."""
        late = asyncio.get_running_loop().call_later(seconds, self._refuse_others, tuple(keys))
        try:
            yield
        finally:
            late.cancel()

    def _refuse_others(self, keys: tuple[SessionKey, ...]) -> None:
        for key in keys:
            holder, *others = self._lines[key]
            holder.is_stuck = True
            for lease in others:
                lease.refused(_stuck(key))


def _stuck(key: SessionKey) -> UnavailableError:
    return UnavailableError(
        f"Session {key.session_id!r} is being changed, and the disk does not answer. Try again in a moment."
    )
