"""Sessions on disk: what is saved is found, and what goes wrong hurts nobody else."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autoglmd.errors import HostError, SessionError, SessionNewerError
from autoglmd.host.disk import Disk
from autoglmd.messages import CacheMiss, SessionKey
from autoglmd.sessions import store as session_store
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.log import Found
from autoglmd.sessions.store import Bounds, SessionStore
from tests.support.conversations import KEY, MODEL, NOW, empty, grown, turn_after, without_kv
from tests.support.faulty_disk import FaultyDisk, Killed, ShortDisk
from tests.support.session_stores import BOUNDS, store_in

OPEN: list[SessionStore] = []


def open_store(folder: Path, disk: Disk | None = None, bounds: Bounds = BOUNDS, now: float = NOW) -> SessionStore:
    """A store over a folder, as a daemon opens it after the one before has ended."""
    while OPEN:
        OPEN.pop().close()
    OPEN.append(store_in(folder, disk, bounds, now))
    return OPEN[-1]


def save_turn(store: SessionStore, told: Conversation, text: str) -> Conversation:
    """Save one more turn."""
    turn, block = turn_after(told, text)
    after = told.after(turn).having(block)
    store.save(after)
    return after


def file_of(folder: Path) -> Path:
    """The one session's file."""
    (path,) = folder.glob("*/*.session")
    return path


def loaded(folder: Path) -> Conversation | None:
    """What a daemon that starts now finds."""
    found = open_store(folder).load(KEY, MODEL)
    return found.conversation if isinstance(found, Found) else None


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


def test_a_file_in_another_sessions_place_is_refused(tmp_path: Path) -> None:
    """Copied there by hand, it would be one user's words in another's answer."""
    store = open_store(tmp_path)
    save_turn(store, empty(), "secret")
    save_turn(store, empty(SessionKey("other", "home")), "mine")
    first, second = sorted(tmp_path.glob("*/*.session"), key=lambda path: b"secret" in path.read_bytes())
    first.write_bytes(second.read_bytes())
    with pytest.raises(SessionError, match="holds"):
        store.load(SessionKey("other", "home"), MODEL)


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


def steps_of_a_save(folder: Path) -> int:
    """How many primitives a second turn's save takes."""
    told = save_turn(open_store(folder), empty(), "one")
    disk = FaultyDisk(fail_at=1 << 30)
    save_turn(open_store(folder, disk), told, "two")
    return disk.steps


@pytest.fixture(name="folders")
def make_folders(tmp_path: Path) -> Iterator[Path]:
    """A fresh folder for each step."""
    return (tmp_path / str(number) for number in range(1 << 30))


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS, None])
@pytest.mark.parametrize("once", [True, False])
def test_whatever_fails_in_a_save_the_conversation_is_as_before_or_as_after(
    folders: Iterator[Path], fault: int | None, *, once: bool
) -> None:
    """At every step, by an error or by kill -9; and the next save succeeds."""
    for step in range(steps_of_a_save(next(folders))):
        folder = next(folders)
        before = save_turn(open_store(folder), empty(), "one")
        with pytest.raises((OSError, Killed)):
            save_turn(open_store(folder, FaultyDisk(step, fault, once=once)), before, "two")
        found = loaded(folder)
        assert found in (before, grown(before, "two"), without_last_kv(before))
        after = save_turn(open_store(folder), before, "three")
        assert loaded(folder) == after


def without_last_kv(before: Conversation) -> Conversation:
    """With the second turn, whose keys and values were torn."""
    return before.after(turn_after(before, "two")[0])


@pytest.mark.parametrize("fault", [errno.ENOSPC, None])
def test_whatever_fails_in_a_first_save_the_next_succeeds(folders: Iterator[Path], fault: int | None) -> None:
    """The folder and the file are being made, too."""
    disk = FaultyDisk(1 << 30)
    save_turn(open_store(next(folders), disk), empty(), "one")
    for step in range(disk.steps):
        folder = next(folders)
        with pytest.raises((OSError, Killed)):
            save_turn(open_store(folder, FaultyDisk(step, fault)), empty(), "one")
        after = save_turn(open_store(folder), empty(), "one")
        assert loaded(folder) == after


def test_a_full_disk_gets_its_space_back(tmp_path: Path) -> None:
    """What could not be finished does not stay in the way."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    size = file_of(tmp_path).stat().st_size
    with pytest.raises(OSError, match="No space"):
        save_turn(open_store(tmp_path, FaultyDisk(3, errno.ENOSPC, once=True)), told, "two")
    assert file_of(tmp_path).stat().st_size == size


def test_a_disk_that_takes_and_gives_few_bytes_at_a_time_will_do(tmp_path: Path) -> None:
    """Short writes and short reads are no faults."""
    told = save_turn(open_store(tmp_path, ShortDisk()), empty(), "one")
    found = open_store(tmp_path, ShortDisk()).load(KEY, MODEL)
    assert isinstance(found, Found)
    assert found.conversation == told


def test_two_daemons_do_not_share_a_folder(tmp_path: Path) -> None:
    """Each would write over the other's turns."""
    open_store(tmp_path)
    with pytest.raises(HostError, match="another daemon"):
        store_in(tmp_path)


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
    monkeypatch.setattr(session_store, "_MOST_REPLACED_TOKENS", 50)
    store, told = open_store(tmp_path), empty()
    sizes = []
    for number in range(60):
        turn, block = turn_after(empty(), f"say {number:02}", tokens=20)
        told = told.after(replace(turn, number=number + 1, ids=tuple(range(number, number + 20)))).having(block)
        store.save(told)
        sizes.append(file_of(tmp_path).stat().st_size)
    assert max(sizes) < 8 * sizes[0]
    assert loaded(tmp_path) == told


def test_a_session_in_use_is_not_evicted(tmp_path: Path) -> None:
    """Somebody may be reading it."""
    save_turn(open_store(tmp_path), empty(), "one")
    full = open_store(tmp_path, bounds=Bounds(disk_bytes=0, ttl_seconds=3600))
    assert full.tidy(lambda key: key == KEY) == 0
    assert full.tidy() == 1


@pytest.mark.parametrize("broken", ["put", "forget"])
def test_a_catalog_that_refuses_fails_no_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """It is made to agree later; a save that was done is not done again."""
    store = open_store(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "database or disk is full")

    monkeypatch.setattr(store.catalog, broken, refuse)
    told = save_turn(store, save_turn(store, empty(), "one"), "two")
    again = open_store(tmp_path)
    again.reconcile()
    assert loaded(tmp_path) == told
    assert len(OPEN[-1].catalog.everything()) == 1


def test_a_bit_flipped_anywhere_is_noticed(tmp_path: Path) -> None:
    """What is given is a part of what was saved: text that was said, tokens and values that were computed."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    told = save_turn(open_store(tmp_path), told, "two")
    path = file_of(tmp_path)
    sound = path.read_bytes()
    for at in range(len(sound)):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ (1 << at % 8)]) + sound[at + 1 :])
        try:
            found = open_store(tmp_path).load(KEY, MODEL)
        except SessionNewerError:
            continue
        assert found is CacheMiss.DAMAGED or (found.damaged and is_part_of(found.conversation, told)), at


def is_part_of(found: Conversation, told: Conversation) -> bool:
    """Whether all that it holds is at the same place in the other."""
    pairs = zip(found.blocks, told.blocks, strict=False)
    return (
        told.ids[: len(found.ids)] == found.ids
        and told.messages[: len(found.messages)] == found.messages
        and all(ours == theirs for ours, theirs in pairs)
    )


def test_a_file_cut_off_anywhere_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    """And the conversation goes on from there."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    end_of_first = file_of(tmp_path).stat().st_size
    told = save_turn(open_store(tmp_path), told, "two")
    path = file_of(tmp_path)
    sound = path.read_bytes()
    for size in range(len(sound)):
        path.write_bytes(sound[:size])
        found = loaded(tmp_path)
        assert found is None or is_part_of(found, told)
        assert size < end_of_first or (found is not None and len(found.ids) >= 5)
    path.write_bytes(sound[:-1])
    after = save_turn(open_store(tmp_path), loaded(tmp_path) or empty(), "three")
    assert loaded(tmp_path) == after


def test_a_newer_programs_file_is_left_alone(tmp_path: Path) -> None:
    """What we would write behind its records might break them. The error says which versions."""
    store = open_store(tmp_path)
    told = save_turn(store, empty(), "one")
    path = file_of(tmp_path)
    sound = path.read_bytes()
    newer = sound + sound[:4] + b"\x02" + sound[5:]
    path.write_bytes(newer)
    with pytest.raises(SessionNewerError, match="version 2, and this autoglmd knows 1"):
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
    monkeypatch.setattr(session_store, "_MOST_REPLACED_TOKENS", 1)
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


def test_what_may_not_have_been_synced_is_synced_again(tmp_path: Path) -> None:
    """A save whose last step failed is not done, although its bytes can be read."""
    told = save_turn(open_store(tmp_path), empty(), "one")
    disk = FaultyDisk(1 << 30)
    open_store(tmp_path, disk).save(told)
    assert disk.steps > 0
    steps = disk.steps
    OPEN[-1].save(told)
    assert disk.steps == steps


def test_a_file_that_cannot_be_removed_keeps_no_other_from_going(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again the next time."""
    store = open_store(tmp_path)
    for number in range(3):
        save_turn(store, replace(empty(SessionKey("local", str(number))), last_used=NOW - 90 + number), "text")
    full = open_store(tmp_path, bounds=Bounds(disk_bytes=0, ttl_seconds=3600))
    remove = full._disk.remove
    bad = full._path(SessionKey("local", "0"))

    def refuse(path: Path) -> None:
        if path == bad:
            raise OSError(errno.EPERM, "immutable")
        remove(path)

    monkeypatch.setattr(full._disk, "remove", refuse)
    assert full.tidy() == 2
    assert bad.exists()
