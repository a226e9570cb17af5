"""Errors about conversations: of requests, and of what lies on disk. The tree is drawn in `__init__.py`."""

from pathlib import Path

from autoglmd.errors.base import AutoglmError
from autoglmd.errors.request import RequestError


class SessionBusyError(RequestError):
    """A running request has the session, and the daemon lets nobody wait for it."""

    code = "SESSION_BUSY"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f'Session {session_id!r} is answering another request. Wait for its end, or set sessions.busy to "wait".'
        )
        self.session_id = session_id


class SessionNotFoundError(RequestError):
    """The caller has no session of that name; whether somebody else has is not told."""

    code = "SESSION_NOT_FOUND"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"There is no session {session_id!r}. `autoglmctl session list` shows what there is.")
        self.session_id = session_id


class AnswerNotFoundError(SessionNotFoundError):
    """The caller's session has no such last answer; whether somebody else's has is not told."""

    code = "ANSWER_NOT_FOUND"

    def __init__(self, session_id: str, request_id: str = "") -> None:
        super().__init__(session_id)
        which = f"no answer to request {request_id!r}" if request_id else "no answer"
        self.message = (
            f"Session {session_id!r} has {which} that could be taken up: it never began, another came after it, or it "
            "ended long ago. Ask anew."
        )
        self.args = (self.message,)
        self.request_id = request_id


class AnswerGoneError(RequestError):
    """An answer is known, and what it goes on from is not there any more."""

    code = "ANSWER_GONE"

    def __init__(self, session_id: str, request_id: str, why: str) -> None:
        super().__init__(f"The answer to {request_id!r} in session {session_id!r} cannot be taken up: {why}. Ask anew.")
        self.session_id = session_id
        self.request_id = request_id
        self.why = why


class SessionExistsError(RequestError):
    """The caller has a session of the name under which another was to begin."""

    code = "SESSION_EXISTS"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"There is a session {session_id!r} already. Choose another name, or delete that one with "
            "`autoglmctl session delete`."
        )
        self.session_id = session_id


class TransferStalledError(RequestError):
    """Who sends or takes a session's file does not go on, or too slowly, and others wait for the place."""

    code = "TRANSFER_STALLED"

    def __init__(self, stalled_seconds: float) -> None:
        super().__init__(
            f"The session's file was sent or taken too slowly: {stalled_seconds:g} s passed with too little of it. "
            "Begin again."
        )
        self.stalled_seconds = stalled_seconds


class SessionError(AutoglmError):
    """A conversation on disk cannot be used."""

    code = "SESSION_INVALID"


class SessionNewerError(SessionError):
    """A newer autoglmd wrote this conversation; what this one would write behind it might break it."""

    code = "SESSION_NEWER"

    def __init__(self, path: Path, version: int, known: int) -> None:
        super().__init__(
            f"{path} has records of version {version}, and this autoglmd knows {known} at most. Install the newer one, "
            "or do without the session."
        )


class SessionLockedError(SessionError):
    """A conversation is encrypted where there is no key, or not encrypted where there is one. It is left alone."""

    code = "SESSION_LOCKED"

    def __init__(self, path: Path, *, has_key: bool) -> None:
        super().__init__(
            f"{path} is not encrypted, and this daemon has a key. Move it away, or delete the session."
            if has_key
            else f"{path} is encrypted, and this daemon has no key. Set sessions.key_file."
        )
