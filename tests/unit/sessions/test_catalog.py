"""The catalog: an index that can be lost."""

from pathlib import Path

import pytest

from autoglmd.messages import SessionKey
from autoglmd.sessions.catalog import Catalog, Entry
from autoglmd.sessions.store import SessionStore
from tests.support.conversations import NOW, empty, turn_after
from tests.support.session_stores import store_in


def entry(name: str, last_used: float = NOW, size: int = 10, tenant: str = "local") -> Entry:
    """A session of that name."""
    return Entry(f"{tenant}-{name}", tenant, name, "tiny", NOW, last_used, 1, 5, size)


def open_store(folder: Path) -> SessionStore:
    """A store with three sessions in it."""
    store = store_in(folder)
    for name in "abc":
        told = empty(SessionKey("local", name))
        turn, block = turn_after(told, name)
        store.save(told.after(turn).having(block))
    return store


def test_sessions_are_found_by_tenant_and_by_use(tmp_path: Path) -> None:
    """The last used first for people, the longest unused first for the broom."""
    catalog = Catalog(tmp_path / "c.sqlite")
    for each in (entry("old", NOW - 9), entry("new"), entry("other", NOW - 99, tenant="eve")):
        catalog.put(each)
    assert [each.session_id for each in catalog.of("local")] == ["new", "old"]
    assert [each.session_id for each in catalog.longest_unused(2)] == ["other", "old"]
    assert catalog.total_bytes() == 30


def test_why_a_session_is_gone_is_remembered_until_it_is_begun_anew(tmp_path: Path) -> None:
    """Or for as long as a session is kept."""
    catalog = Catalog(tmp_path / "c.sqlite")
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
    assert store.reconcile() == 2
    assert len(store.catalog.everything()) == 2
    assert not list(tmp_path.glob("*/*.partial"))


def test_a_file_that_is_no_session_is_left_alone(tmp_path: Path) -> None:
    """It is said, and nobody finds it."""
    store = open_store(tmp_path)
    stranger = tmp_path / "00" / "00.session"
    stranger.parent.mkdir()
    stranger.write_bytes(next(tmp_path.glob("*/*.session")).read_bytes())
    store.reconcile()
    assert len(store.catalog.everything()) == 3
    assert stranger.exists()
