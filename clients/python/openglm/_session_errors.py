"""Errors about conversations: of requests, and of what lies on the daemon's disk. The tree is drawn in `_errors.py`."""

from openglm._details import ErrorDetails
from openglm._error import OpenGLMError, RequestError


class _OfSession:
    """What the daemon says of every error about one session."""

    details: ErrorDetails

    @property
    def session_id(self) -> str:
        """The session in question."""
        return self.details.metadata.get("session_id", "")


class _OfAnswer(_OfSession):
    """And of one about its answer."""

    @property
    def request_id(self) -> str:
        """The request whose answer was asked for; empty for whichever is the last."""
        return self.details.metadata.get("request_id", "")


class SessionBusyError(RequestError, _OfSession):
    """A running request has the session, and the daemon lets nobody wait for it."""

    code = "SESSION_BUSY"


class SessionNotFoundError(RequestError, _OfSession):
    """The caller has no session of that name."""

    code = "SESSION_NOT_FOUND"


class AnswerNotFoundError(SessionNotFoundError, _OfAnswer):
    """The session has no such last answer: it never began, or another came after it."""

    code = "ANSWER_NOT_FOUND"


class AnswerGoneError(RequestError, _OfAnswer):
    """The answer is known, and can no longer be told as it was."""

    code = "ANSWER_GONE"


class SessionExistsError(RequestError, _OfSession):
    """The caller has a session of the name under which another was to begin."""

    code = "SESSION_EXISTS"


class TransferStalledError(RequestError):
    """A session's file was sent, or taken, too slowly, and others wanted the place."""

    code = "TRANSFER_STALLED"


class SessionError(OpenGLMError):
    """A conversation on the daemon's disk cannot be used."""

    code = "SESSION_INVALID"


class SessionNewerError(SessionError):
    """A newer daemon wrote this conversation, and this one leaves it alone."""

    code = "SESSION_NEWER"


class SessionLockedError(SessionError):
    """The conversation is encrypted, and the daemon has no key; or the other way about. It is left alone."""

    code = "SESSION_LOCKED"
