"""What the rows hold, as far as it is known: blocks of keys and values, told apart by the very object their data is.

Equal token ids are not enough: a token that was drawn got its keys and values from a decode, and the same token in a
prompt gets them from a prefill, whose kernels do not agree in the last bit. Who brings the same data object brings what
is in the row.
"""

import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from autoglmd.messages.sessions import KvBlock

Data = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Held:
    """Positions start..stop of a row, which hold what `data` tells; that gives `None` when nobody else has it now."""

    data: Callable[[], Data | None]
    start: int
    stop: int


Content = tuple[Held, ...]
"""A row's beginning, without a gap."""
NOTHING: Content = ()


def content_of(blocks: Iterable[KvBlock]) -> Content:
    """What a row holds when these have been put there."""
    return tuple(Held(_reference(block.data), block.start, block.stop) for block in blocks if block.tokens)


def cut(content: Content, stop: int) -> Content:
    """What is known before a position."""
    return tuple(Held(each.data, each.start, min(each.stop, stop)) for each in content if each.start < stop)


def common(content: Content, past: Sequence[KvBlock]) -> int:
    """How many positions of `past` a row holds, from the first on. A block counts as far as both have it."""
    known = 0
    for held, block in zip(content, past, strict=False):
        if held.start != block.start or held.start != known or held.data() is not block.data:
            break
        known = min(held.stop, block.stop)
        if known < held.stop or known < block.stop:
            break
    return known


class RowContents:
    """The record of all rows. Pure: who writes to a row says so here, and nothing is looked up."""

    def __init__(self, rows: int) -> None:
        self._rows: list[Content] = [NOTHING] * rows

    def of(self, row: int) -> Content:
        """What a row holds."""
        return self._rows[row]

    def cut(self, row: int, stop: int) -> None:
        """Something is written to a row from this position on, or may have been."""
        content = self._rows[row]
        # Asked at every step of every row, and mostly for nothing.
        if content and content[-1].stop > stop:
            self._rows[row] = cut(content, stop)

    def put(self, row: int, blocks: Sequence[KvBlock]) -> None:
        """These blocks are in a row now, and nothing is known of what lies behind them."""
        held = list(self._rows[row])
        for block in blocks:
            while held and held[-1].stop > block.start:
                held += cut((held.pop(),), block.start)
            if block.start == (held[-1].stop if held else 0):
                held += content_of((block,))
        self._rows[row] = tuple(held)

    def copy(self, source: int, target: int, length: int) -> None:
        """The first positions of a row are in another as well."""
        self._rows[target] = cut(self._rows[source], length)

    def clear(self) -> None:
        """Nothing is known any more."""
        self._rows = [NOTHING] * len(self._rows)


def _reference(data: Data) -> Callable[[], Data | None]:
    """The data while somebody has it: a row's record must not keep in memory what nobody can bring any more."""
    try:
        return weakref.ref(data)
    except TypeError:
        # Of plain bytes there are no such references.
        return lambda: data
