"""What encryption costs: a conversation is saved and loaded with a key and without, in turn.

    python -m tests.support.sealing_cost FOLDER [ROUNDS]

The conversation has 2,000 tokens of 30 kB. Prints the median seconds of each, of the wall clock and of the processor,
the file's bytes, and how long a catalog of 10,000 sessions takes to be listed.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from autoglmd.messages.sessions import KvBlock, SessionKey
from autoglmd.sessions.catalog import Catalog, Entry
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.log import Found
from autoglmd.sessions.seal import Seal
from tests.support.conversations import KEY, MODEL, NOW, empty, ids_at
from tests.support.seals import SEAL_NAMES, SEALS
from tests.support.session_stores import store_in

TOKENS = 2000
BYTES_PER_TOKEN = 30_000
SESSIONS = 10_000
Spent = tuple[float, float]


def conversation() -> Conversation:
    """One whose keys and values compress as little as quantized ones do."""
    noise = np.random.default_rng(7).normal(0, 32, TOKENS * BYTES_PER_TOKEN)
    data = noise.clip(-128, 127).astype(np.int8).tobytes()
    told = empty(KEY, replace(MODEL, kv_bytes_per_token=BYTES_PER_TOKEN))
    return replace(told, ids=ids_at(1, 0, TOKENS), turns=1, blocks=(KvBlock(0, TOKENS, TOKENS, data),))


def spent(work: Callable[[], object]) -> Spent:
    """Seconds of the wall clock, and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


@dataclass(frozen=True)
class Round:
    """What one save and one load took, and the file's bytes."""

    save: Spent
    load: Spent
    bytes: int


def a_round(folder: Path, told: Conversation, seal: Seal) -> Round:
    """Save and load it once, in a fresh folder. The file is in the page cache when it is loaded."""
    shutil.rmtree(folder, ignore_errors=True)
    store = store_in(folder, seal=seal)
    saved = spent(lambda: store.save(told))
    found: list[object] = []
    loaded = spent(lambda: found.append(store.load(KEY, told.model)))
    assert isinstance(found[0], Found)
    assert found[0].conversation.blocks == told.blocks
    size = store._files.path_of(KEY).stat().st_size
    store.close()
    return Round(saved, loaded, size)


def listed(folder: Path, seal: Seal) -> Spent:
    """List a catalog of many sessions."""
    catalog = Catalog(folder / f"many-{seal.hides}.sqlite", seal)
    for number in range(SESSIONS):
        key = SessionKey("local", str(number))
        catalog.put(Entry(seal.name(key), key.tenant, key.session_id, "tiny", NOW, NOW, 1, 5, 0, 10))
    took = spent(catalog.everything)
    catalog.close()
    return took


def told_of(name: str, rounds: list[Round], listing: Spent) -> Iterator[str]:
    """The figures of one seal, a line each."""
    steps = {"save": [each.save for each in rounds], "load": [each.load for each in rounds]}
    for what, times in (steps | {f"{SESSIONS} sessions listed": [listing]}).items():
        wall, processor = map(median, zip(*times, strict=True))
        yield f"{name:6} {what}: {wall:.3f} s, processor {processor:.3f} s"
    yield f"{name:6} file: {rounds[0].bytes} bytes"


def main() -> None:
    """Measure and print."""
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 7
    told = conversation()
    done: dict[str, list[Round]] = {name: [] for name in SEAL_NAMES}
    for _ in range(rounds):
        for name, seal in zip(SEAL_NAMES, SEALS, strict=True):
            done[name].append(a_round(folder / "sessions", told, seal))
    for name, seal in zip(SEAL_NAMES, SEALS, strict=True):
        print("\n".join(told_of(name, done[name], listed(folder, seal))))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
