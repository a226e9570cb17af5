"""Sessions on disk: what is saved is found, and what is too much or too old goes."""

from dataclasses import replace
from pathlib import Path

import pytest

from autoglmd.errors.session import SessionError, SessionNewerError
from autoglmd.messages.sessions import CacheMiss, SessionKey
from autoglmd.sessions import log as session_log
from autoglmd.sessions.cut import until_turn
from autoglmd.sessions.log import Found
from autoglmd.sessions.quarantine import UNREADABLE
from autoglmd.sessions.quota import Bounds
from autoglmd.sessions.seal import Seal
from tests.support.conversations import KEY, MODEL, NOW, empty, grown, turn_after, without_kv
from tests.support.session_files import of_version
from tests.support.session_stores import BOUNDS, OPEN, file_of, loaded, open_store, save_turn, store_in


def test_a_saved_conversation_is_found_by_the_next_daemon(tmp_path: Path) -> None:
    """Text, tokens, keys and values, turn by turn."""
    told, store = empty(), open_store(tmp_path)
    for text in ("你好", "turn on the light", ""):
        told = save_turn(store, told, text)
        assert loaded(tmp_path) == told


def test_a_turn_is_appended_and_nothing_before_it_is_written_again(tmp_path: Path) -> None:
    """A save costs what the turn added."""
    store = open_store(tmp_path)
    told = save_turn(store, empty(), "one")
    before = file_of(tmp_path).read_bytes()
    save_turn(store, told, "two")
    after = file_of(tmp_path).read_bytes()
    assert after.startswith(before)
    assert len(after) < 2 * len(before)


def test_a_turn_may_replace_the_end_of_what_was_said(tmp_path: Path) -> None:
    """Tokens, messages, keys and values from there on are the new ones."""
    store = open_store(tmp_path)
    told = save_turn(store, save_turn(store, empty(), "one"), "two")
    turn, _ = turn_after(grown(empty(), "one"), "other")
    after = told.after(replace(turn, number=3, ids=(9, 9, 9)))
    store.save(after)
    assert after.kv_tokens == 5
    assert loaded(tmp_path) == after


def test_keys_and_values_of_another_model_are_not_given(tmp_path: Path) -> None:
    """What was said is."""
    store = open_store(tmp_path)
    told = save_turn(store, empty(), "one")
    newer = replace(MODEL, version="ba9876543210", tokenizer="other")
    found = store.load(KEY, newer)
    assert isinstance(found, Found)
    assert found.conversation == without_kv(told)
    assert found.conversation.of(newer).messages == told.messages


def test_a_session_goes_on_under_another_model(tmp_path: Path) -> None:
    """Its tokens are that model's from there on, and the text of before remains."""
    store = open_store(tmp_path)
    told = save_turn(store, empty(), "one")
    newer = replace(MODEL, version="ba9876543210", tokenizer="other")
    after = save_turn(store, told.of(newer), "two")
    found = open_store(tmp_path).load(KEY, newer)
    assert isinstance(found, Found)
    assert found.conversation == after
    assert [each.content for each in after.messages] == ["one", "eno", "two", "owt"]


def test_sessions_of_two_tenants_with_one_name_are_two(tmp_path: Path) -> None:
    """Nobody finds another's, whatever characters are in the names."""
    store = open_store(tmp_path)
    keys = [SessionKey("a", "b:c"), SessionKey("a:b", "c"), SessionKey("a", "../b"), SessionKey("", "a")]
    for number, key in enumerate(keys):
        save_turn(store, empty(key), f"secret {number}")
    for number, key in enumerate(keys):
        found = store.load(key, MODEL)
        assert isinstance(found, Found)
        assert found.conversation.messages[0].content == f"secret {number}"
    assert store.load(SessionKey("b", "a"), MODEL) is CacheMiss.NEW_SESSION
    assert {path.parent.parent for path in tmp_path.rglob("*.session")} == {tmp_path}


def test_a_file_in_another_sessions_place_is_refused(tmp_path: Path, seal: Seal) -> None:
    """Copied there by hand, it would be one user's words in another's answer. Encrypted, nothing in it opens there."""
    store, other = open_store(tmp_path), SessionKey("other", "home")
    save_turn(store, empty(), "secret")
    save_turn(store, empty(other), "mine")
    store._files.path_of(other).write_bytes(store._files.path_of(KEY).read_bytes())
    if seal.hides:
        assert store.load(other, MODEL) is CacheMiss.DAMAGED
        return
    with pytest.raises(SessionError, match="holds another") as caught:
        store.load(other, MODEL)
    assert KEY.tenant not in caught.value.message


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    """Conversations are private."""
    save_turn(open_store(tmp_path / "sessions"), empty(), "secret")
    path = file_of(tmp_path / "sessions")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_an_old_session_is_not_found_and_goes(tmp_path: Path) -> None:
    """The TTL counts from its last use."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    late = open_store(tmp_path, now=told.last_used + BOUNDS.ttl_seconds + 1)
    assert late.load(KEY, MODEL) is CacheMiss.EXPIRED
    assert late.tidy() == 1
    assert late.load(KEY, MODEL) is CacheMiss.EXPIRED
    assert not late.delete(KEY)
    assert list(tmp_path.glob("*/*.session")) == []


def test_beyond_the_bytes_the_longest_unused_sessions_go(tmp_path: Path) -> None:
    """As many as it takes."""
    store = open_store(tmp_path)
    for number in range(4):
        save_turn(store, replace(empty(SessionKey("local", str(number))), last_used=NOW - 10 - 10 * number), "text")
    size = file_of_any(tmp_path)
    small = open_store(tmp_path, bounds=Bounds(disk_bytes=2 * size + 1, ttl_seconds=3600))
    assert small.tidy() == 2
    assert [entry.session_id for entry in small.catalog.of("local")] == ["0", "1"]
    assert small.load(SessionKey("local", "3"), MODEL) is CacheMiss.EVICTED


def file_of_any(folder: Path) -> int:
    """Bytes of a session's file; all of a test have the same text."""
    return max(path.stat().st_size for path in folder.glob("*/*.session"))


def test_two_daemons_do_not_share_a_folder(tmp_path: Path) -> None:
    """Each would write over the other's turns. The second one has it when the first has left."""
    first = open_store(tmp_path)
    told = save_turn(first, empty(), "one")
    second = store_in(tmp_path)
    assert not second.is_open
    assert not second.open()
    with pytest.raises(OSError, match="another daemon"):
        second.load(KEY, MODEL)
    with pytest.raises(OSError, match="another daemon"):
        second.save(told)
    first.close()
    assert second.open()
    assert second.is_open
    found = second.load(KEY, MODEL)
    assert isinstance(found, Found)
    assert found.conversation == told
    second.close()


def test_a_store_whose_folder_is_anothers_can_go_elsewhere(tmp_path: Path) -> None:
    """What it keeps there ends with it, and the folder is left alone."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    second = store_in(tmp_path)
    assert second.open_elsewhere()
    save_turn(second, empty(), "mine")
    elsewhere = second._files.folder
    assert elsewhere.is_dir()
    assert file_of(elsewhere)
    second.close()
    assert not elsewhere.exists()
    assert loaded(tmp_path) == told


def test_what_was_saved_twice_is_there_once(tmp_path: Path) -> None:
    """As after a save of which nobody knew whether it had succeeded."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    size = file_of(tmp_path).stat().st_size
    for store in (open_store(tmp_path), OPEN[-1]):
        store.save(told)
    assert file_of(tmp_path).stat().st_size == size


def test_keys_and_values_that_were_not_saved_in_time_are_made_up_for(tmp_path: Path) -> None:
    """The next save writes those of the turn before as well, so that no gap makes the later ones useless."""
    store = open_store(tmp_path)
    told = save_turn(store, empty(), "one")
    second = grown(told, "two")
    store.save(without_kv(second))
    third = grown(second, "three")
    store.save(third)
    assert loaded(tmp_path) == third


def test_a_file_of_which_most_was_replaced_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose template tells the past otherwise, turn after turn, does not grow for ever."""
    monkeypatch.setattr(session_log, "_MOST_REPLACED_TOKENS", 50)
    store, told = open_store(tmp_path), empty()
    sizes = []
    for number in range(60):
        turn, block = turn_after(empty(), f"say {number:02}", tokens=20)
        told = told.after(replace(turn, number=number + 1, ids=tuple(range(number, number + 20)))).having(block)
        store.save(told)
        sizes.append(file_of(tmp_path).stat().st_size)
    assert max(sizes) < 8 * sizes[0]
    assert loaded(tmp_path) == told


def test_of_a_session_that_was_taken_back_to_its_beginning_no_word_stays_on_disk(tmp_path: Path) -> None:
    """Neither in its file nor set aside, as if it were deleted; its name and its times are there, and it goes on."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    file_of(tmp_path).with_suffix(UNREADABLE).write_bytes(file_of(tmp_path).read_bytes())
    nothing = replace(until_turn(told, 0), last_used=told.last_used + 5)
    open_store(tmp_path).save(nothing)
    store_in(tmp_path / "new").save(nothing)
    assert file_of(tmp_path).stat().st_size == file_of(tmp_path / "new").stat().st_size
    assert not list(tmp_path.rglob(f"*{UNREADABLE}"))
    assert loaded(tmp_path) == nothing
    after = save_turn(open_store(tmp_path), nothing, "two")
    assert loaded(tmp_path) == after
    begun_anew = save_turn(open_store(tmp_path), replace(nothing, created=nothing.created + 1), "three")
    assert b"two" not in file_of(tmp_path).read_bytes()
    assert loaded(tmp_path) == begun_anew


def test_a_session_in_use_is_not_evicted(tmp_path: Path) -> None:
    """Somebody may be reading it."""
    save_turn(open_store(tmp_path), empty(), "one")
    full = open_store(tmp_path, bounds=Bounds(disk_bytes=0, ttl_seconds=3600))
    assert full.tidy(lambda key: key == KEY) == 0
    assert full.tidy() == 1


def test_a_newer_programs_file_is_left_alone(tmp_path: Path) -> None:
    """What we would write behind its records might break them. The error says which versions."""
    store = open_store(tmp_path)
    told = save_turn(store, empty(), "one")
    path = file_of(tmp_path)
    sound = path.read_bytes()
    newer = sound + of_version(3, sound)
    path.write_bytes(newer)
    with pytest.raises(SessionNewerError, match="version 3, and this autoglmd knows 2"):
        store.load(KEY, MODEL)
    with pytest.raises(SessionNewerError):
        save_turn(store, told, "two")
    assert path.read_bytes() == newer


def test_a_conversation_whose_file_was_taken_away_is_saved_whole(tmp_path: Path) -> None:
    """The daemon still knows it, and nothing is lost."""
    store = open_store(tmp_path)
    told = save_turn(store, empty(), "one")
    file_of(tmp_path).unlink()
    after = save_turn(store, told, "two")
    found = loaded(tmp_path)
    assert found is not None
    assert (found.ids, found.messages, found.blocks) == (after.ids, after.messages, after.blocks)


def test_a_start_in_1970_makes_nothing_old(tmp_path: Path) -> None:
    """What was used before keeps its time, and is there when the clock has been set."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    open_store(tmp_path, now=5.0).tidy()
    later = open_store(tmp_path)
    assert later.tidy() == 0
    assert [entry.last_used for entry in later.catalog.of("local")] == [told.last_used]


def test_a_save_without_keys_and_values_erases_none_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many turns the disk was too slow for."""
    monkeypatch.setattr(session_log, "_MOST_REPLACED_TOKENS", 1)
    store = open_store(tmp_path)
    told = save_turn(store, save_turn(store, empty(), "one"), "two")
    for text in ("three", "four"):
        told = grown(told, text)
        store.save(without_kv(told))
    found = loaded(tmp_path)
    assert found is not None
    assert found.kv_tokens == 9
    store.save(told)
    assert loaded(tmp_path) == told


def test_a_turn_that_was_taken_up_is_one_turn(tmp_path: Path) -> None:
    """What the broken one left is not told beside it."""
    store, told = open_store(tmp_path), empty()
    broken, block = turn_after(told, "one", tokens=6)
    store.save(told.after(broken).having(block))
    whole, rest = turn_after(told, "one", tokens=10)
    after = told.after(whole).having(rest)
    store.save(after)
    found = loaded(tmp_path)
    assert found == after
    assert [(mark.number, mark.end) for mark in after.marks] == [(1, 10)]
