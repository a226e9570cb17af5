"""A conversation that the daemon keeps, as a chat sees it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openglm import Client, Session


class KeptSession:
    """What the daemon knows is the truth; the chat asks for it wherever it could know otherwise."""

    def __init__(self, client: Client, session_id: str) -> None:
        self._client = client
        self.session_id = session_id
        self.is_unfinished = False
        """Whether its last answer had broken off, and could be taken up, when it was last asked for."""

    def told(self) -> list[dict[str, str]]:
        """Everything said, once no answer is being given; nothing without such a session. Raises OpenGLMError."""
        session = self._session()
        self.is_unfinished = session is not None and session.info.unfinished
        return [asdict(message) for message in session.messages] if session else []

    def turn_count(self) -> int:
        """How many there are, once no answer is being given; 0 without such a session. Raises OpenGLMError."""
        session = self._session()
        return session.info.turns if session else 0

    def rewind(self) -> None:
        """Have the daemon take back the last turn. Raises OpenGLMError."""
        self._client.rewind_session(self.session_id)

    def fork(self, name: str) -> None:
        """Have the daemon keep a copy. Raises OpenGLMError."""
        self._client.fork_session(self.session_id, name)

    def forget(self) -> bool:
        """Have the daemon forget it. False: gone already, which is what was wanted. Raises OpenGLMError."""
        from openglm import SessionNotFoundError

        try:
            self._client.delete_session(self.session_id)
        except SessionNotFoundError:
            return False
        return True

    def _session(self) -> Session | None:
        from openglm import SessionNotFoundError

        try:
            return self._client.session(self.session_id)
        except SessionNotFoundError:
            return None
