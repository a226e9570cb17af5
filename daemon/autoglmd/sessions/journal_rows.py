"""What of the journal must go, so that answers take no more than they may. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple


class Row(NamedTuple):
    """What the journal knows of an answer without opening it.

    Attributes:
        tenant: as a seal calls it.
        ended: seconds since 1970; `None`: it may still be given.
        told_at: of the turn that is remembered of it; `None`: nothing is.
    """

    file: str
    tenant: str
    size: int
    begun: float
    ended: float | None
    told_at: float | None

    def is_old(self, ended_before: float, begun_before: float) -> bool:
        """Whether nobody can want to take it up any more."""
        return self.begun < begun_before if self.ended is None else self.ended < ended_before


def surplus(rows: Iterable[Row], most_bytes: int, is_alone: Callable[[Row], bool]) -> Iterator[Row]:
    """Who must go, until the rest takes no more.

    First those that ended, then those that may still be given, which somebody waits for, and last the turns that were
    told and are only here. Of the same kind it is the oldest of the tenant who takes most.

    Args:
        rows: of all answers.
        most_bytes: that they may take.
        is_alone: whether its turn is nowhere else. Asked only where something must go.
    """
    known = sorted(rows, key=lambda row: -row.begun)
    held: Counter[str] = Counter()
    for row in known:
        held[row.tenant] += row.size
    if held.total() <= most_bytes:
        return
    # Of each kind and tenant, the oldest last.
    left: dict[tuple[int, str], list[Row]] = {}
    for row in known:
        left.setdefault((2 if is_alone(row) else int(row.ended is None), row.tenant), []).append(row)
    while held.total() > most_bytes:
        first = min(left, key=lambda group: (group[0], -held[group[1]], left[group][-1].begun))
        gone = left[first].pop()
        held[gone.tenant] -= gone.size
        if not left[first]:
            del left[first]
        yield gone
