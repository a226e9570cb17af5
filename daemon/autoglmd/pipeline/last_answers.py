"""What the journal alone has of sessions: forgotten when they are changed, and taken from it only before that."""

import contextlib
import threading
from collections.abc import Callable
from typing import Protocol

from autoglmd.errors.session import SessionError
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.answer import Answer
from autoglmd.sessions.database import DiskFullError


class Answers(Protocol):
    """See Journalling, of which it is a part."""

    def find(self, key: SessionKey) -> Answer | None:
        """A session's last answer. Raises OSError."""

    def forget(self, key: SessionKey) -> None:
        """Drop it. Raises OSError: it is still there."""


class LastAnswers:
    """Safe from any thread. A turn that was forgotten does not come back with who had read it before."""

    def __init__(self, answers: Answers, is_told: Callable[[SessionKey], bool]) -> None:
        """`is_told`: see UnsavedTurns."""
        self._answers = answers
        self._is_told = is_told
        self._lock = threading.Lock()

    def unfinished(self, key: SessionKey) -> Answer | None:
        """A session's last answer, if it broke off and can be taken up; `None` also where the disk does not tell."""
        with contextlib.suppress(OSError):
            answer = self._answers.find(key)
            return answer if answer is not None and answer.end is None else None
        return None

    def take(self, key: SessionKey, work: Callable[[], None]) -> None:
        """Do it if the journal still has the session's last turn: who read it may have lost the session meanwhile."""
        with self._lock:
            if self._is_told(key):
                work()

    def forget(self, key: SessionKey) -> None:
        """Whatever the session says now, its last answer is not to be taken up any more.

        Raises:
            SessionError: the disk refuses, and it still can be.
        """
        try:
            with self._lock:
                self._answers.forget(key)
        except OSError as error:
            raise SessionError(
                f"Session {key.session_id!r} cannot be changed: {error}. Make room, if the disk is full. Try again."
            ) from error

    def forget_before_removal(self, key: SessionKey) -> None:
        """As `forget`; but a full disk is no reason not to remove the session, whose file makes room."""
        try:
            self.forget(key)
        except SessionError as error:
            if not isinstance(error.__cause__, DiskFullError):
                raise
