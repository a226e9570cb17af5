"""What the write-back thread removes to make room, and what it must not."""

from dataclasses import replace
from pathlib import Path

from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline.write_back import WriteBack
from autoglmd.sessions.conversation import Conversation
from tests.support.conversations import NOW, empty, grown
from tests.support.session_stores import BOUNDS, store_in

LIMIT_SECONDS = 10.0


def used_at(name: str, seconds: float) -> Conversation:
    """A session of one turn, last used then."""
    return replace(grown(empty(SessionKey("local", name)), "one"), last_used=NOW + seconds)


def test_a_session_whose_last_turn_waits_does_not_make_room_for_others(tmp_path: Path) -> None:
    """The catalog takes it for the longest unused; a kill behind its removal would cost all of it."""
    old = store_in(tmp_path)
    returning, unused, busy = used_at("returning", 0), used_at("unused", 1), used_at("busy", 2)
    for each in (returning, unused, busy):
        old.save(each)
    old.close()
    store = store_in(tmp_path, bounds=replace(BOUNDS, tenant_sessions=2), now=NOW + 10)
    path = tmp_path / store.file_of(returning.key)[:2] / store.file_of(returning.key)
    there: list[bool] = []
    tidy, write_back = store.tidy, WriteBack(store, 1 << 30)

    def watched(is_needed: object) -> int:
        went = tidy(is_needed)  # type: ignore[arg-type]
        there.append(path.exists())
        return went

    store.tidy = watched  # type: ignore[method-assign, assignment]
    # In this order: that of `busy` is saved, and makes room, while the other waits.
    for each in (busy, returning):
        write_back.put(grown(each, "two"))
    write_back.start(lambda _: False)
    assert write_back.flush(LIMIT_SECONDS)
    assert write_back.stop(LIMIT_SECONDS)
    assert all(there)
    assert {entry.session_id for entry in store_in(tmp_path).catalog.of("local")} == {"returning", "busy"}
