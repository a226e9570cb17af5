"""The door: who may come in, and when to come back. Lives on the event loop."""

from autoglmd.errors import DrainingError, QueueFullError, RequestIdInUseError

_SHORTEST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 30.0
_SMOOTHING = 0.2


class Line:
    """The bounded line before one engine: rows that work, and places to wait."""

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

    def leave(self, service_seconds: float) -> None:
        """Give the place back, and learn how long a request takes."""
        self._open -= 1
        self._mean_seconds += _SMOOTHING * (service_seconds - self._mean_seconds)

    @property
    def retry_after_seconds(self) -> float:
        """When a row is likely to become free: rows end one after another, a request's mean time apart in all."""
        return min(_LONGEST_RETRY_SECONDS, max(_SHORTEST_RETRY_SECONDS, self._mean_seconds / self._rows))


class Admission:
    """Lets requests in until the daemon drains. Each `enter` is paired with one `leave`."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._draining = False
        self.refused = 0

    @property
    def is_draining(self) -> bool:
        """Whether nobody is let in any more."""
        return self._draining

    def enter(self, request_id: str, line: Line) -> None:
        """Let a request in.

        Raises:
            DrainingError: the daemon is stopping.
            RequestIdInUseError: a running request has this id.
            QueueFullError: the line is full.
        """
        if self._draining:
            raise DrainingError
        if request_id in self._ids:
            raise RequestIdInUseError(request_id)
        try:
            line.enter()
        except QueueFullError:
            self.refused += 1
            raise
        self._ids.add(request_id)

    def leave(self, request_id: str, line: Line, service_seconds: float) -> None:
        """A request has ended."""
        self._ids.discard(request_id)
        line.leave(service_seconds)

    def drain(self) -> None:
        """Let nobody in from now on."""
        self._draining = True
