"""Time, behind an interface, so that tests own it."""

import time
from typing import Protocol


class Clock(Protocol):
    """For durations and deadlines, and for what must be told from one run to the next."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; comparable between threads of this process."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 by a clock that somebody may set."""
        ...


class SystemClock:
    """The kernel's."""

    def monotonic(self) -> float:
        """Seconds on CLOCK_MONOTONIC."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds on CLOCK_REALTIME."""
        return time.time()
