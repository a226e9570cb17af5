"""A bound on the bytes of what is kept in memory, over things that share their keys and values."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

from autoglmd.messages.sessions import KvBlock


class _Item(NamedTuple):
    """Something that is kept, whatever of keys and values it holds, and the bytes of the rest."""

    value: Any
    blocks: tuple[KvBlock, ...]
    other_bytes: int


class Memory:
    """Things by their keys, the last used of them. Safe from any thread.

    Data that several of them hold is counted once, and is let go of with the last.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, _Item] = OrderedDict()
        self._holders: Counter[int] = Counter()
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """What they take, about."""
        with self._lock:
            return self._bytes

    def count(self, kind: type) -> int:
        """How many of a kind they are."""
        with self._lock:
            return sum(isinstance(item.value, kind) for item in self._known.values())

    def find(self, key: Hashable) -> Any:
        """What is kept under a key, which counts as used now; `None`: nothing."""
        with self._lock:
            found = self._known.get(key)
            if found is None:
                return None
            self._known.move_to_end(key)
            return found.value

    def put(self, key: Hashable, value: object, blocks: Iterable[KvBlock], other_bytes: int) -> None:
        """Add or replace one, and let go of the longest unused beyond the bound. One beyond it alone is not kept."""
        item = _Item(value, tuple(blocks), other_bytes)
        with self._lock:
            self._drop(key)
            if other_bytes + sum(map(_size, item.blocks)) > self._limit:
                return
            self._known[key] = item
            self._bytes += other_bytes
            for block in item.blocks:
                self._hold(block)
            while self._bytes > self._limit:
                self._drop(next(iter(self._known)))

    def forget(self, key: Hashable) -> None:
        """Let go of one; none is fine."""
        with self._lock:
            self._drop(key)

    def _hold(self, block: KvBlock) -> None:
        # By what the data is and not by what it says: it is there for as long as somebody here has it.
        self._holders[id(block.data)] += 1
        if self._holders[id(block.data)] == 1:
            self._bytes += _size(block)

    def _drop(self, key: Hashable) -> None:
        gone = self._known.pop(key, None)
        if gone is None:
            return
        self._bytes -= gone.other_bytes
        for block in gone.blocks:
            self._holders[id(block.data)] -= 1
            if not self._holders[id(block.data)]:
                del self._holders[id(block.data)]
                self._bytes -= _size(block)


def _size(block: KvBlock) -> int:
    return memoryview(block.data).nbytes
