"""Errors of a daemon that cannot serve this now, or not so much. The tree is drawn in `__init__.py`."""

from autoglmd.errors.base import AutoglmError


class CapacityError(AutoglmError):
    """Too much is asked at once; the same request may succeed later."""

    code = "OVERLOADED"


class QueueFullError(CapacityError):
    """The admission line is full."""

    code = "QUEUE_FULL"

    def __init__(self, waiting: int, limit: int, retry_after_seconds: float) -> None:
        super().__init__(
            f"{waiting} requests are waiting and the line holds {limit}. Retry in {retry_after_seconds:.1f} s."
        )
        self.waiting = waiting
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds


class TransfersBusyError(CapacityError):
    """As many sessions are being exported and imported as may be at once."""

    code = "TRANSFERS_BUSY"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} sessions are being exported or imported, which is the limit. Try again when one is done."
        )
        self.limit = limit
        # Nobody knows how long a reader takes; a place is asked for cheaply.
        self.retry_after_seconds = 1.0


class UnavailableError(AutoglmError):
    """The daemon cannot serve this now."""

    code = "UNAVAILABLE"


class ModelNotReadyError(UnavailableError):
    """The model is known and not yet loaded: `state` is "loading" or "preparing", and that will pass."""

    code = "MODEL_NOT_READY"

    def __init__(self, name: str, state: str, reason: str) -> None:
        super().__init__(f"Model {name!r} is not ready: {reason}")
        self.name = name
        self.state = state
        self.reason = reason


class ModelFailedError(ModelNotReadyError):
    """The model is known and could not be loaded (`state` "failed"): asking again is of no use until a restart."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, "failed", reason)


class DrainingError(UnavailableError):
    """The daemon is stopping: it takes no new work, and what is not done in time ends."""

    code = "DRAINING"

    def __init__(
        self, message: str = "The daemon is stopping and takes no new requests. Retry when it is back."
    ) -> None:
        super().__init__(message)


class EngineFailedError(UnavailableError):
    """A step raised. Only the sequences of that step end; the daemon keeps serving."""

    code = "ENGINE_FAILED"
