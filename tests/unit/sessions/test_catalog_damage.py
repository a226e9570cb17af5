"""A catalog whose rows are not what was written: SQLite does not notice, and what goes by a row is removed for good."""

from pathlib import Path

import pytest

from autoglmd.messages.sessions import SessionKey
from tests.support.conversations import empty
from tests.support.session_stores import open_store, save_turn

ONE, OTHER = SessionKey("local", "one"), SessionKey("local", "other")


@pytest.mark.parametrize(
    "harm", ["last_used = last_used - 1e9", "session_id = 'two'", "tenant = 'eve'", "bytes = NULL", "turns = 'x'"]
)
def test_a_row_that_was_damaged_costs_no_session(tmp_path: Path, harm: str) -> None:
    """Not its removal, not its owner: the catalog is made again from the files."""
    store = open_store(tmp_path)
    save_turn(store, empty(ONE), "one")
    save_turn(store, empty(OTHER), "two")
    with store.catalog.using() as database:
        statement = f"UPDATE sessions SET {harm} WHERE file = ?"  # noqa: S608 - ours
        database.execute(statement, (store.file_of(ONE),))
    for _ in range(3):
        try:
            store.tidy()
            store.catalog.everything()
        except OSError as error:
            assert "not what was written" in str(error)  # noqa: PT017 - the catalog may be made again before
    assert store.tidy() == 0
    assert {entry.key for entry in store.catalog.of("local")} == {ONE, OTHER}
    assert store.catalog.of("eve") == ()
    assert len(list(tmp_path.glob("*/*.session"))) == 2
