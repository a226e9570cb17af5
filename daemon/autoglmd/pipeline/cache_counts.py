"""How often requests found their conversations, and where; and how often answers went on. Lives on the event loop."""

from collections import Counter
from dataclasses import replace

from autoglmd.messages.sessions import CacheMiss, CacheReport, CacheTier
from autoglmd.messages.status import SessionsStats


class CacheCounts:
    """Counts what each request's `Started` says."""

    def __init__(self) -> None:
        self._tiers: Counter[CacheTier] = Counter()
        self._misses = 0
        self._cached_tokens = 0
        self._resumed = 0

    def count(self, report: CacheReport) -> None:
        """One request found this."""
        if report.tier is not None:
            self._tiers[report.tier] += 1
        # Of what is new there was nothing to find.
        self._misses += report.miss not in (None, CacheMiss.NEW_SESSION)
        self._cached_tokens += report.cached_tokens

    def count_resumed(self) -> None:
        """One answer was taken up again."""
        self._resumed += 1

    def told_in(self, stats: SessionsStats) -> SessionsStats:
        """The figures with these in them."""
        return replace(
            stats,
            from_rows=self._tiers[CacheTier.ROW],
            from_memory=self._tiers[CacheTier.MEMORY],
            from_disk=self._tiers[CacheTier.DISK],
            misses=self._misses,
            cached_tokens=self._cached_tokens,
            resumed=self._resumed,
        )
