"""The line before an engine: bounded, and able to say when to come back. Lives on the event loop."""

from autoglmd.errors.availability import QueueFullError

_SHORTEST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 30.0
_SMOOTHING = 0.2


class Line:
    """Rows that work, and places to wait."""

    def __init__(self, rows: int, places: int) -> None:
        self._rows = rows
        self._places = places
        self._open = 0
        self._mean_seconds = 1.0

    def enter(self) -> None:
        """Take a place. Raises QueueFullError where there is none."""
        if self._open >= self._rows + self._places:
            raise QueueFullError(self._open - self._rows, self._places, self.retry_after_seconds)
        self._open += 1

    def leave(self, row_seconds: float | None = None) -> None:
        """Give the place back, and learn how long a row is taken, if this was one whole answer."""
        self._open -= 1
        if row_seconds is not None:
            self._mean_seconds += _SMOOTHING * (row_seconds - self._mean_seconds)

    @property
    def retry_after_seconds(self) -> float:
        """When a row is likely to become free: rows end one after another, a request's mean time apart in all."""
        return min(_LONGEST_RETRY_SECONDS, max(_SHORTEST_RETRY_SECONDS, self._mean_seconds / self._rows))
