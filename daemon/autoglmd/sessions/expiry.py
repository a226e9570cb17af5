"""Whether the clock may be trusted to say that something is old."""

import threading

from autoglmd.host.clock import Clock

STEP_SECONDS = 60.0
"""A clock that gains or loses more than this against the monotonic one was set, and did not just drift."""
TRUST_SECONDS = 86400.0


class SteadyClock:
    """The wall clock, and how long it has run without being set.

    A box without a battery starts in 1970 and learns the time later; a wrong time server may send it years ahead. What
    is removed because of that never comes back. So nothing is old before the clock has run without a step for a day.

    Safe from any thread.
    """

    def __init__(self, clock: Clock, trust_seconds: float = TRUST_SECONDS) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._trust_seconds = trust_seconds
        self._offset = clock.wall() - clock.monotonic()
        self._since = clock.monotonic()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._read()[0]

    def oldest_kept(self, ttl_seconds: float) -> float:
        """When something must have been used last to be kept; minus infinity while the clock is not trusted."""
        now, steady = self._read()
        return now - ttl_seconds if steady >= min(self._trust_seconds, ttl_seconds) else float("-inf")

    def _read(self) -> tuple[float, float]:
        """The time, and for how many seconds the clock has run without being set."""
        with self._lock:
            wall, monotonic = self._clock.wall(), self._clock.monotonic()
            if abs(wall - monotonic - self._offset) > STEP_SECONDS:
                self._since = monotonic
            # A slow drift is followed, and is no step.
            self._offset = wall - monotonic
            return wall, monotonic - self._since
