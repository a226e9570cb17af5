"""Whose sessions go where there are too many."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from autoglmd.messages.sessions import CacheMiss, SessionKey
from autoglmd.sessions.quota import Bounds
from autoglmd.sessions.store import SessionStore
from tests.support.conversations import MODEL, NOW, empty
from tests.support.session_stores import open_store, save_turn

PLENTY = 1 << 40


def fill(store: SessionStore, tenant: str, numbers: Iterable[int]) -> int:
    """Sessions of one size, each used a second after the one before. Returns that size."""
    for number in numbers:
        told = replace(empty(SessionKey(tenant, f"{number:03}")), last_used=NOW - 1000 + number)
        save_turn(store, told, "some text")
    return max(entry.bytes for entry in store.catalog.of(tenant))


def left(store: SessionStore, tenant: str) -> list[str]:
    """Names of a tenant's sessions, the longest unused first."""
    return [entry.session_id for entry in store.catalog.of(tenant)][::-1]


def bounded(folder: Path, disk_bytes: int = PLENTY, tenant_bytes: int = 0, tenant_sessions: int = 0) -> SessionStore:
    """A store with those bounds."""
    return open_store(folder, bounds=Bounds(disk_bytes, 1e9, tenant_bytes, tenant_sessions))


def test_a_tenant_keeps_to_its_number_of_sessions(tmp_path: Path) -> None:
    """Its longest unused go first, and nobody else's; why is remembered."""
    fill(open_store(tmp_path), "alice", range(5))
    fill(open_store(tmp_path), "bob", range(2))
    store = bounded(tmp_path, tenant_sessions=3)
    assert store.tidy() == 2
    assert (left(store, "alice"), left(store, "bob")) == (["002", "003", "004"], ["000", "001"])
    assert store.load(SessionKey("alice", "000"), MODEL) is CacheMiss.EVICTED
    assert store.tidy() == 0


def test_a_tenant_keeps_to_its_bytes(tmp_path: Path) -> None:
    """However much room there is on the disk."""
    size = fill(open_store(tmp_path), "alice", range(5))
    fill(open_store(tmp_path), "bob", range(2))
    store = bounded(tmp_path, tenant_bytes=2 * size)
    assert store.tidy() == 3
    assert (left(store, "alice"), left(store, "bob")) == (["003", "004"], ["000", "001"])


def test_one_tenants_flood_evicts_its_own_sessions_before_anybodys(tmp_path: Path) -> None:
    """Although the others' were not used for longer."""
    size = fill(open_store(tmp_path), "alice", range(3)) + len("mallory")
    store = bounded(tmp_path, disk_bytes=10 * size)
    for number in range(50, 80):
        fill(store, "mallory", [number])
        store.tidy()
        assert left(store, "alice") == ["000", "001", "002"]
    assert left(store, "mallory") == [f"{number:03}" for number in range(73, 80)]


def test_who_takes_most_gives_up_first(tmp_path: Path) -> None:
    """Until the others take as much: nobody below an equal share loses anything."""
    size = fill(open_store(tmp_path), "alice", range(8))
    fill(open_store(tmp_path), "bob", range(20, 24))
    store = bounded(tmp_path, disk_bytes=6 * size)
    store.tidy()
    assert (left(store, "alice"), left(store, "bob")) == (["005", "006", "007"], ["021", "022", "023"])


def test_what_is_in_use_stays_and_the_next_goes_in_its_place(tmp_path: Path) -> None:
    """Also where all of the one that takes most is in use."""
    size = fill(open_store(tmp_path), "alice", range(4))
    fill(open_store(tmp_path), "bob", range(2))
    store = bounded(tmp_path, tenant_sessions=2)
    store.tidy(lambda key: key.session_id == "000")
    assert left(store, "alice") == ["000", "003"]
    full = bounded(tmp_path, disk_bytes=2 * size)
    full.tidy(lambda key: key.tenant == "alice")
    assert (left(full, "alice"), left(full, "bob")) == (["000", "003"], [])
    assert full.tidy(lambda _: True) == 0


def test_the_bound_of_one_session_is_the_narrowest() -> None:
    """A file that could not be kept need not be taken."""
    assert Bounds(100, 1.0).largest_session == 100
    assert Bounds(100, 1.0, tenant_bytes=50).largest_session == 50
    assert Bounds(100, 1.0, tenant_bytes=500).largest_session == 100
