"""How much of the machine others took while we measured."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass

import psutil

QUIET_SHARE = 0.05
DISTURBED_SHARE = 0.08
"""With more of the machine in others' hands a measurement is taken again, where it may be."""
SAMPLE_SECONDS = 1.0


@dataclass(frozen=True)
class Reading:
    """CPU seconds since boot: of everybody, and of this process and the children that it has waited for."""

    at: float
    everybody: float
    ours: float

    def others_share(self, later: Reading) -> float:
        """Return what part of all cores others used between this reading and a later one, 0 to 1."""
        seconds = (later.at - self.at) * (os.cpu_count() or 1)
        others = (later.everybody - self.everybody) - (later.ours - self.ours)
        return min(1.0, max(0.0, others / seconds))


def read() -> Reading:
    """Read the kernel's accounts."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ours = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    # Guests are counted among users already.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return Reading(time.monotonic(), sum(times) - idle - guests, ours)


def wait_until_quiet(patience_seconds: float) -> None:
    """Return when others leave the machine alone, or when patience is at its end."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        before = read()
        # What others take of the machine is told over a time.
        time.sleep(SAMPLE_SECONDS)
        if before.others_share(read()) < QUIET_SHARE:
            return
