"""Time, behind an interface, so that tests own it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one for durations and deadlines, one for people."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; comparable between threads of this process."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, UTC; may jump."""
        ...


class SystemClock:
    """The kernel's clocks."""

    def monotonic(self) -> float:
        """Seconds on CLOCK_MONOTONIC."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch on CLOCK_REALTIME."""
        return time.time()
