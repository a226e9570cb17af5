"""Sessions for the edge's tests: a dictionary."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import replace

from autoglmd.errors.session import SessionExistsError, SessionNotFoundError
from autoglmd.messages.generation import Message
from autoglmd.messages.sessions import Place, SessionInfo, SessionKey
from autoglmd.sessions.conversation import TurnMark

SAID = (Message("user", "你好"), Message("assistant", "hello"))
TURNS = (TurnMark(1, 4, 9, 2), TurnMark(2, 14, 30, 4))


class FakeSessions:
    """Implements `SessionsPort`.

    Attributes:
        places: where sessions were cut, one for each fork and rewind.
        file: what an export sends, piece by piece.
        files: what came by imports, by its session, as far as it came.
        came: set when something of a file came.
        nothing_open: set when an import or an export has ended, however it did.
    """

    def __init__(self) -> None:
        self.known: dict[SessionKey, SessionInfo] = {}
        self.places: list[Place | None] = []
        self.file: Iterable[bytes] = [b"first", b"second"]
        self.files: dict[str, bytes] = {}
        self.came = asyncio.Event()
        self.nothing_open = asyncio.Event()

    def add(self, session_id: str, tenant: str = "socket") -> None:
        """Keep one session, with figures that no default has."""
        info = SessionInfo(session_id, "glm-small", 1_700_000_000.25, 1_700_000_100.5, 1_700_003_700.5, 2, 30, 4096, 29)
        self.known[SessionKey(tenant, session_id)] = info

    async def all(self, tenant: str) -> tuple[SessionInfo, ...]:
        """That tenant's."""
        return tuple(info for key, info in self.known.items() if key.tenant == tenant)

    async def one(self, key: SessionKey) -> tuple[SessionInfo, tuple[Message, ...], tuple[TurnMark, ...]]:
        """With what is said in all of them."""
        self._check(key)
        return self.known[key], SAID, TURNS

    async def delete(self, key: SessionKey) -> None:
        """Forget it."""
        self._check(key)
        del self.known[key]

    async def fork(self, key: SessionKey, new_session_id: str, place: Place | None) -> SessionInfo:
        """The same under another name."""
        self._check(key)
        new = replace(key, session_id=new_session_id)
        if new in self.known:
            raise SessionExistsError(new_session_id)
        self.places.append(place)
        self.known[new] = replace(self.known[key], session_id=new_session_id)
        return self.known[new]

    async def rewind(self, key: SessionKey, place: Place | None) -> SessionInfo:
        """With one turn."""
        self._check(key)
        self.places.append(place)
        self.known[key] = replace(self.known[key], turns=1)
        return self.known[key]

    async def exported(self, key: SessionKey) -> AsyncGenerator[bytes, None]:
        """The file."""
        self._check(key)
        try:
            for piece in self.file:
                yield piece
        finally:
            self.nothing_open.set()

    async def imported(self, key: SessionKey, pieces: AsyncIterator[bytes]) -> SessionInfo:
        """Whatever comes is a session."""
        try:
            async for piece in pieces:
                self.files[key.session_id] = self.files.get(key.session_id, b"") + piece
                self.came.set()
        finally:
            self.nothing_open.set()
        self.add(key.session_id, key.tenant)
        return self.known[key]

    def _check(self, key: SessionKey) -> None:
        if key not in self.known:
            raise SessionNotFoundError(key.session_id)
