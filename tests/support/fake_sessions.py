"""Sessions for the edge's tests: a dictionary."""

from autoglmd.errors import SessionNotFoundError
from autoglmd.messages import Message, SessionInfo, SessionKey

SAID = (Message("user", "你好"), Message("assistant", "hello"))


class FakeSessions:
    """Implements `SessionsPort`."""

    def __init__(self) -> None:
        self.known: dict[SessionKey, SessionInfo] = {}

    def add(self, session_id: str, tenant: str = "socket") -> None:
        """Keep one session, with figures that no default has."""
        info = SessionInfo(session_id, "glm-small", 1_700_000_000.25, 1_700_000_100.5, 1_700_003_700.5, 2, 30, 4096)
        self.known[SessionKey(tenant, session_id)] = info

    async def all(self, tenant: str) -> tuple[SessionInfo, ...]:
        """That tenant's."""
        return tuple(info for key, info in self.known.items() if key.tenant == tenant)

    async def one(self, key: SessionKey) -> tuple[SessionInfo, tuple[Message, ...]]:
        """With what is said in all of them."""
        self._check(key)
        return self.known[key], SAID

    async def delete(self, key: SessionKey) -> None:
        """Forget it."""
        self._check(key)
        del self.known[key]

    def _check(self, key: SessionKey) -> None:
        if key not in self.known:
            raise SessionNotFoundError(key.session_id)
