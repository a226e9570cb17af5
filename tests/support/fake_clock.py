"""A clock that stands still until it is told."""


class FakeClock:
    """Moved by hand."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        """Seconds, as set."""
        return self.now

    def wall(self) -> float:
        """The same."""
        return self.now
