"""A conversation that the daemon keeps, as a chat sees it."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openglm import Client


class KeptSession:
    """What the daemon knows is the truth; the chat asks for it wherever it could know otherwise."""

    def __init__(self, client: Client, session_id: str) -> None:
        self._client = client
        self.session_id = session_id

    def told(self) -> list[dict[str, str]]:
        """Everything said, once no answer is being given; nothing without such a session. Raises OpenGLMError."""
        from openglm import SessionNotFoundError

        try:
            session = self._client.session(self.session_id)
        except SessionNotFoundError:
            return []
        return [asdict(message) for message in session.messages]

    def rewind(self) -> None:
        """Have the daemon take back the last turn. Raises OpenGLMError."""
        self._client.rewind_session(self.session_id)

    def fork(self, name: str) -> None:
        """Have the daemon keep a copy. Raises OpenGLMError."""
        self._client.fork_session(self.session_id, name)

    def forget(self) -> None:
        """Have the daemon forget it. Gone already is what was wanted. Raises OpenGLMError."""
        from openglm import SessionNotFoundError

        with contextlib.suppress(SessionNotFoundError):
            self._client.delete_session(self.session_id)
