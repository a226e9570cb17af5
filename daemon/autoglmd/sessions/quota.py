"""Which sessions go where there are too many. The longest unused go first; whose, is what this decides.

First each tenant keeps to its own quota. Then, while all together are over what may lie on disk, the one that takes
most gives up its longest unused. So a tenant loses nothing to others before it takes more than they do: one that floods
the disk is soon the one that takes most, and evicts itself.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from autoglmd.sessions.catalog import Catalog, Entry, Usage


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may lie on disk.

    Attributes:
        disk_bytes: of all sessions.
        ttl_seconds: how long an unused session is kept.
        tenant_bytes: of one tenant's sessions; 0 for no bound of its own.
        tenant_sessions: how many one tenant may have; 0 for any number.
    """

    disk_bytes: int
    ttl_seconds: float
    tenant_bytes: int = 0
    tenant_sessions: int = 0

    @property
    def largest_session(self) -> int:
        """Bytes of a file that may be kept at all."""
        return min(self.disk_bytes, self.tenant_bytes or self.disk_bytes)

    def exceeds(self, usage: Usage) -> bool:
        """Whether a tenant has more than it may."""
        over_bytes = bool(self.tenant_bytes) and usage.bytes > self.tenant_bytes
        return over_bytes or (bool(self.tenant_sessions) and usage.sessions > self.tenant_sessions)


class Surplus:
    """Finds what must go, one session after another."""

    def __init__(
        self, catalog: Catalog, usage: Mapping[str, Usage], bounds: Bounds, remove: Callable[[Entry], bool]
    ) -> None:
        """Look at what there is.

        Args:
            catalog: of all sessions.
            usage: what they take; see Catalog.usage.
            bounds: what they may take.
            remove: removes a session. False: it stays for now, and another must go in its place.
        """
        self._bounds = bounds
        self._remove = remove
        self._catalog = catalog
        self.usage = dict(usage)
        """What is left."""
        self._unused: dict[str, Iterator[Entry]] = {}

    def remove(self) -> int:
        """Remove what is too much. Returns how many went. Raises OSError."""
        went = 0
        for tenant in tuple(self.usage):
            while self._bounds.exceeds(self.usage[tenant]) and self._gave_up_one(tenant):
                went += 1
        able = set(self.usage)
        while able and sum(each.bytes for each in self.usage.values()) > self._bounds.disk_bytes:
            most = max(able, key=lambda tenant: self.usage[tenant].bytes)
            if self._gave_up_one(most):
                went += 1
            else:
                able.discard(most)
        return went

    def _gave_up_one(self, tenant: str) -> bool:
        """Remove its longest unused session that can be. False: none can."""
        unused = self._unused.setdefault(tenant, self._catalog.unused_of(tenant))
        for entry in unused:
            if self._remove(entry):
                usage = self.usage[tenant]
                self.usage[tenant] = Usage(usage.bytes - entry.bytes, usage.sessions - 1)
                return True
        return False
