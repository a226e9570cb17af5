"""Time, behind an interface, so that tests own it."""

import time
from typing import Protocol


class Clock(Protocol):
    """For durations and deadlines."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; comparable between threads of this process."""
        ...


class SystemClock:
    """The kernel's."""

    def monotonic(self) -> float:
        """Seconds on CLOCK_MONOTONIC."""
        return time.monotonic()
