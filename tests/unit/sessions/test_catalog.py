"""The catalog: an index that can be lost."""

from pathlib import Path

import pytest

from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.catalog import Catalog, Entry, Usage
from autoglmd.sessions.seal import Seal
from autoglmd.sessions.store import SessionStore
from tests.support.conversations import NOW, empty, turn_after
from tests.support.session_stores import store_in


def entry(name: str, last_used: float = NOW, size: int = 10, tenant: str = "local") -> Entry:
    """A session of that name."""
    return Entry(f"{tenant}-{name}", tenant, name, "tiny", NOW, last_used, 1, 5, 4, size)


def open_store(folder: Path) -> SessionStore:
    """A store with three sessions in it."""
    store = store_in(folder)
    for name in "abc":
        told = empty(SessionKey("local", name))
        turn, block = turn_after(told, name)
        store.save(told.after(turn).having(block))
    return store


def test_sessions_are_found_by_tenant_and_by_use(tmp_path: Path, seal: Seal) -> None:
    """The last used first for people, the longest unused first for the broom."""
    catalog = Catalog(tmp_path / "c.sqlite", seal)
    for each in (entry("old", NOW - 9), entry("new"), entry("other", NOW - 99, tenant="eve")):
        catalog.put(each)
    assert [each.session_id for each in catalog.of("local")] == ["new", "old"]
    assert [each.session_id for each in catalog.unused_since(NOW)] == ["other", "old"]
    usage = catalog.usage()
    assert usage == {seal.blind("local"): Usage(20, 2), seal.blind("eve"): Usage(10, 1)}
    assert [each.session_id for each in catalog.unused_of(seal.blind("local"))] == ["old", "new"]


def test_all_sessions_are_gone_through_by_use_while_they_are_being_removed(tmp_path: Path, seal: Seal) -> None:
    """Also many that were used in the same second."""
    tenant = seal.blind("local")
    catalog = Catalog(tmp_path / "c.sqlite", seal)
    names = [f"{number:03}" for number in range(200)]
    for name in names:
        catalog.put(entry(name, NOW + int(name) // 80))
    seen = []
    for each in catalog.unused_of(tenant):
        seen.append(each.session_id)
        catalog.forget(each.file)
    assert seen == names
    assert catalog.sizes() == {}


def test_why_a_session_is_gone_is_remembered_until_it_is_begun_anew(tmp_path: Path, seal: Seal) -> None:
    """Or for as long as a session is kept."""
    catalog = Catalog(tmp_path / "c.sqlite", seal)
    catalog.put(entry("a"))
    catalog.forget("local-a", "evicted", NOW)
    assert (catalog.find("local-a"), catalog.why_gone("local-a")) == (None, "evicted")
    catalog.put(entry("a"))
    assert catalog.why_gone("local-a") == ""
    catalog.forget("local-a", "expired", NOW)
    catalog.forget_reasons(NOW + 1)
    assert catalog.why_gone("local-a") == ""


@pytest.mark.parametrize("content", [b"", b"not a database, but longer than a header of one" * 100, None])
def test_a_lost_or_broken_catalog_is_made_again_from_the_files(tmp_path: Path, content: bytes | None) -> None:
    """Nothing is lost with it."""
    store = open_store(tmp_path)
    expected = store.catalog.of("local")
    store.close()
    path = tmp_path / "catalog.sqlite"
    for leftover in tmp_path.glob("catalog.sqlite*"):
        leftover.unlink()
    if content is not None:
        path.write_bytes(content)
    again = store_in(tmp_path)
    assert again.reconcile() == 3
    assert again.catalog.of("local") == expected
    assert again.reconcile() == 0


def test_files_that_came_or_went_behind_the_catalogs_back_are_noticed(tmp_path: Path) -> None:
    """As after a crash between a file and its entry; what is half written is swept out."""
    store = open_store(tmp_path)
    first, second, third = sorted(tmp_path.glob("*/*.session"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    third.with_suffix(".partial").write_bytes(b"half")
    (tmp_path / "key.partial").write_bytes(b"half")
    assert store.reconcile() == 2
    assert len(store.catalog.everything()) == 2
    assert not list(tmp_path.rglob("*.partial"))
