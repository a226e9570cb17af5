"""Errors of a daemon that cannot serve this now, or not so much. The tree is drawn in `_errors.py`."""

from openglm._error import OpenGLMError

# An old daemon names no state; most likely it still loads.
_LOADING = ("loading", "preparing", "")


class CapacityError(OpenGLMError):
    """Too much is asked at once; the same request may succeed later."""

    code = "OVERLOADED"

    @property
    def retryable(self) -> bool:
        """True where the daemon said when to come back."""
        return self.retry_after is not None


class QueueFullError(CapacityError):
    """The daemon's admission line is full."""

    code = "QUEUE_FULL"

    @property
    def waiting(self) -> int:
        """How many requests were waiting."""
        return self.details.number("waiting")

    @property
    def limit(self) -> int:
        """How many may wait."""
        return self.details.number("limit")


class TransfersBusyError(CapacityError):
    """As many sessions are being exported and imported as may be at once."""

    code = "TRANSFERS_BUSY"


class UnavailableError(OpenGLMError):
    """The daemon cannot serve this now."""

    code = "UNAVAILABLE"

    @property
    def retryable(self) -> bool:
        """True: the state may pass."""
        return True


class DaemonNotRunningError(UnavailableError, ConnectionError):
    """Nobody answers at the address."""

    code = "DAEMON_NOT_RUNNING"


class ConnectionLostError(UnavailableError, ConnectionError):
    """The connection broke, or the stream ended before Finished came, and the rest could not be had."""

    code = "CONNECTION_LOST"

    @property
    def received_tokens(self) -> int:
        """How many tokens of the answer had come."""
        return self.details.number("received_tokens")

    @property
    def waited_seconds(self) -> int:
        """How long the daemon was waited for."""
        return self.details.number("waited_seconds")


class ModelNotReadyError(UnavailableError):
    """The model is known and not yet loaded."""

    code = "MODEL_NOT_READY"

    @property
    def name(self) -> str:
        """The model's name."""
        return self.details.metadata.get("name", "")

    @property
    def state(self) -> str:
        """What it does instead: "loading", "preparing" or "failed", as in ModelState; empty from an old daemon."""
        return self.details.metadata.get("state", "")

    @property
    def reason(self) -> str:
        """Why it is not ready, in a sentence."""
        return self.details.metadata.get("reason", "")

    @property
    def is_loading(self) -> bool:
        """Whether it will be ready by itself."""
        return self.state in _LOADING


class ModelFailedError(ModelNotReadyError):
    """The model is known and could not be loaded."""

    @property
    def is_loading(self) -> bool:
        """No."""
        return False

    @property
    def retryable(self) -> bool:
        """No: nothing changes until the daemon starts again."""
        return False


class DrainingError(UnavailableError):
    """The daemon is stopping and takes no new work."""

    code = "DRAINING"


class EngineFailedError(UnavailableError):
    """A step raised in the daemon's engine; the daemon goes on."""

    code = "ENGINE_FAILED"

    @property
    def retryable(self) -> bool:
        """No: the request may be what broke the step."""
        return False
