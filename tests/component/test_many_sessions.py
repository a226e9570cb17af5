"""Ten thousand sessions on disk: the daemon starts, tidies and saves as with few. Run with -s for the seconds."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from autoglmd.config.rooms import SessionsConfig
from autoglmd.host.disk import Disk, OpenFile
from autoglmd.messages.sessions import CacheTier, SessionKey
from autoglmd.pipeline.session_book import SessionBook
from autoglmd.pipeline.write_back import WriteBack
from autoglmd.sessions.additions import opening, whole
from autoglmd.sessions.catalog import _PUT, _sum_of, entry_of
from autoglmd.sessions.quota import Bounds
from autoglmd.sessions.record import RecordWriter, encode
from autoglmd.sessions.store import SessionStore
from tests.support.conversations import MODEL, empty, grown
from tests.support.seals import PLAIN
from tests.support.session_stores import save_turn, store_in

SESSIONS = 10_000
# Only what would never end fails: how fast it is, is printed.
LIMIT_SECONDS = 300.0
pytestmark = pytest.mark.timeout(4 * LIMIT_SECONDS)
TENANTS = 4
BOUNDS = Bounds(disk_bytes=1 << 40, ttl_seconds=1e9)


class HastyDisk(Disk):
    """Does not wait for the platters, and counts the files that are read.

    Attributes:
        held: where sizes are asked for, it is waited until this is set.
        asked: set when a size was asked for.
    """

    def __init__(self) -> None:
        self.read = 0
        self.held = threading.Event()
        self.held.set()
        self.asked = threading.Event()

    def reading(self, path: Path) -> AbstractContextManager[OpenFile]:
        """Counted."""
        self.read += 1
        return super().reading(path)

    def size(self, path: Path) -> int:
        """Waited for."""
        self.asked.set()
        self.held.wait(LIMIT_SECONDS)
        return super().size(path)

    def _sync(self, descriptor: int) -> None:
        pass


def key_at(number: int) -> SessionKey:
    """One of the ten thousand."""
    return SessionKey(f"tenant {number % TENANTS}", str(number))


@pytest.fixture(name="folder", scope="module")
def fill_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten thousand files, and their catalog."""
    folder = tmp_path_factory.mktemp("many") / "sessions"
    store = store_in(folder, HastyDisk(), BOUNDS)
    said = grown(empty(), "some text")
    beginning = len(encode(*opening(said)))
    rest = b"".join(map(bytes, whole(said, RecordWriter(PLAIN, "")).pieces[beginning:]))
    entries = []
    for number in range(SESSIONS):
        told = replace(said, key=key_at(number))
        raw = b"".join(map(bytes, encode(*opening(told)))) + rest
        path = store._files.path_of(told.key)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(raw)
        entries.append(entry_of(path.name, told, len(raw), told.kv_tokens))
    with store.catalog.using() as database:
        database.executemany(_PUT, [(*row, _sum_of(row)) for row in map(astuple, entries)])
    store.close()
    return folder


@pytest.fixture(name="timed")
def make_timer() -> Callable[[str, Callable[[], object]], None]:
    """Does something and prints how long it took; only what would never end fails."""

    def timed(what: str, work: Callable[[], object]) -> None:
        started = time.monotonic()
        work()
        seconds = time.monotonic() - started
        print(f"\n{SESSIONS} sessions: {what} took {seconds:.3f} s")  # noqa: T201 - the figure is the point
        assert seconds < LIMIT_SECONDS

    return timed


Timed = Callable[[str, Callable[[], object]], None]


def test_a_start_reads_no_file_whose_size_the_catalog_knows(folder: Path, timed: Timed) -> None:
    """It looks at their sizes alone."""
    disk = HastyDisk()
    stores: list[SessionStore] = []
    timed("opening the store", lambda: stores.append(store_in(folder, disk, BOUNDS)))
    asked_for_the_key, disk.read = disk.read, 0
    assert asked_for_the_key < 20
    timed("looking through the files", stores[0].reconcile)
    timed("listing a tenant's", lambda: stores[0].catalog.of(key_at(0).tenant))
    assert disk.read == 0
    assert len(stores[0].catalog.everything()) == SESSIONS
    stores[0].close()


def test_a_lost_catalog_is_made_again(folder: Path, timed: Timed) -> None:
    """Each file is read once."""
    for leftover in folder.glob("catalog.sqlite*"):
        leftover.unlink()
    disk = HastyDisk()
    store = store_in(folder, disk, BOUNDS)
    disk.read = 0
    timed("making the catalog again", store.reconcile)
    assert disk.read == SESSIONS
    store.close()


def test_a_conversation_is_recalled_while_the_files_are_looked_through(folder: Path) -> None:
    """And is saved afterwards: nobody waits for that but the disk."""
    disk = HastyDisk()
    disk.held.clear()
    store = store_in(folder, disk, BOUNDS)
    book = SessionBook(store, WriteBack(store, 1 << 20), SessionsConfig())
    book.start()
    assert disk.asked.wait(LIMIT_SECONDS)
    recalled = book.recall(key_at(7), MODEL)
    assert (recalled.conversation.turns, recalled.cache.tier) == (1, CacheTier.DISK)
    book.commit(recalled.conversation)
    assert book.describe(key_at(8)) is not None
    assert len(book.sessions(key_at(0).tenant)) == SESSIONS // TENANTS
    disk.held.set()
    assert book.flush(LIMIT_SECONDS)
    assert book.stop(LIMIT_SECONDS)


def test_saving_goes_on_where_the_disk_budget_is_full(folder: Path, timed: Timed) -> None:
    """Each new session takes the place of the longest unused one."""
    whole = store_in(folder, HastyDisk(), BOUNDS)
    used = sum(usage.bytes for usage in whole.catalog.usage().values())
    whole.close()
    store = store_in(folder, HastyDisk(), Bounds(used, 1e9, tenant_sessions=SESSIONS // TENANTS))
    store.reconcile()
    timed("tidying what is not too much", store.tidy)

    def save() -> None:
        for number in range(SESSIONS, SESSIONS + 100):
            save_turn(store, empty(key_at(number)), "some text")
            store.tidy()

    timed("saving a hundred more, tidying after each,", save)
    assert store.entry(key_at(SESSIONS + 99)) is not None
    usage = store.catalog.usage().values()
    assert sum(each.bytes for each in usage) <= used
    assert {each.sessions for each in usage} <= {SESSIONS // TENANTS, SESSIONS // TENANTS - 1}
    small = Bounds(used // 2, 1e9)
    store._keeping._bounds = small
    timed("evicting half", store.tidy)
    assert sum(usage.bytes for usage in store.catalog.usage().values()) <= used // 2
    store.close()
