"""Conversations get a key, another one, or none, and nothing else changes."""

import errno
import os
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from autoglmd.errors.base import ConfigError, HostError
from autoglmd.host.disk import Disk
from autoglmd.messages.generation import FinishReason
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.answer import digest_of
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.journal import Addition
from autoglmd.sessions.key_change import change_key
from autoglmd.sessions.log import Found
from autoglmd.sessions.seal import Seal
from autoglmd.sessions.store import SessionStore
from tests.support.answers import answer
from tests.support.conversations import MODEL, empty, grown, turn_after
from tests.support.faulty_disk import FaultyDisk, Killed
from tests.support.seals import OTHER, PLAIN, SEALED
from tests.support.session_stores import OPEN, open_store

KEYS = tuple(SessionKey("local", name) for name in "abc")


def filled(folder: Path, seal: Seal, turns: tuple[str, ...] = ("two",)) -> dict[SessionKey, Conversation]:
    """Three conversations in a folder."""
    told = {key: grown(empty(key), f"one {key.session_id}", *turns) for key in KEYS}
    store = open_store(folder, seal=seal)
    for conversation in told.values():
        store.save(conversation)
    OPEN.pop().close()
    return told


def read(folder: Path, seal: Seal) -> dict[SessionKey, Conversation]:
    """All of them, as a daemon with that key finds them."""
    store = open_store(folder, seal=seal)
    store.reconcile()
    assert len(store.catalog.everything()) == len(list(folder.glob("*/*.session")))
    found = {key: store.load(key, MODEL) for key in KEYS}
    OPEN.pop().close()
    return {key: each.conversation for key, each in found.items() if isinstance(each, Found)}


def told_on(store: SessionStore, before: Conversation) -> Conversation:
    """One turn more, which was told and journalled, and not saved."""
    turn, block = turn_after(before, "and then")
    prompt = turn.ids[:2]
    given = replace(
        answer(before.key),
        turn=turn.number,
        shared=turn.start,
        prompt_ids=prompt,
        prompt_digest=digest_of((*before.ids, *prompt)),
        first_message=turn.first_message,
    )
    file = store.file_of(before.key)
    store.journal.add([Addition(file, given, 0, turn.ids[2:], (FinishReason.STOP, turn.at), turn)])
    return before.after(turn).having(block)


def test_conversations_are_encrypted_get_another_key_and_are_decrypted(tmp_path: Path) -> None:
    """Each time all of them, and the daemon with the key before finds the door closed."""
    told = filled(tmp_path, PLAIN)
    for before, after in ((PLAIN, SEALED), (SEALED, OTHER), (OTHER, PLAIN)):
        assert change_key(tmp_path, before, after, Disk()) == 3
        with pytest.raises(ConfigError):
            open_store(tmp_path, seal=before)
        assert read(tmp_path, after) == told


def test_nothing_in_the_clear_is_left_behind(tmp_path: Path) -> None:
    """No file, no index, no leftover."""
    filled(tmp_path, PLAIN)
    (tmp_path / "catalog.broken").write_bytes(b"one a")
    (tmp_path / "transit").mkdir()
    (tmp_path / "transit" / "other").write_bytes(b"one a")
    next(tmp_path.glob("*/*.session")).with_suffix(".partial").write_bytes(b"one a")
    change_key(tmp_path, PLAIN, SEALED, Disk())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(word in path.read_bytes() for path in files for word in (b"one a", b"local"))
    assert sorted(path.suffix for path in files) == ["", ".check", ".session", ".session", ".session"]


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [(PLAIN, SEALED, None), (SEALED, OTHER, None), (SEALED, PLAIN, None), (PLAIN, SEALED, errno.ENOSPC)],
    ids=["add", "replace", "remove", "full"],
)
def test_broken_off_anywhere_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Seal, after: Seal, fault: int | None
) -> None:
    """By an error or by kill -9; no conversation is lost."""
    # Nothing ends here but the process, and hundreds of syncs would be most of the test.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    told = filled(tmp_path / "first", before, ())
    for step in count():
        folder = tmp_path / str(step)
        shutil.copytree(tmp_path / "first", folder)
        try:
            change_key(folder, before, after, FaultyDisk(step, fault))
        except (OSError, Killed):
            change_key(folder, before, after, Disk())
        else:
            break
        assert read(folder, after) == told
    assert step > 10


def test_who_names_the_wrong_key_changes_nothing(tmp_path: Path) -> None:
    """Byte for byte."""
    filled(tmp_path, SEALED)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for wrong, after in ((OTHER, PLAIN), (PLAIN, OTHER)):
        with pytest.raises(ConfigError):
            change_key(tmp_path, wrong, after, Disk())
    assert change_key(tmp_path, OTHER, SEALED, Disk()) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_conversation_that_opens_with_neither_key_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    """Without it, or with the right keys, the change comes to its end."""
    told = filled(tmp_path, SEALED)
    first, *_ = sorted(tmp_path.glob("*/*.session"))
    first.write_bytes(b"broken" + first.read_bytes()[6:])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=f"1 conversations open with neither key, {first}"):
        change_key(tmp_path, SEALED, OTHER, Disk())
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    first.unlink()
    change_key(tmp_path, SEALED, OTHER, Disk())
    rest = read(tmp_path, OTHER)
    assert len(rest) == 2
    assert all(told[key] == conversation for key, conversation in rest.items())


def test_damaged_keys_and_values_are_left_out_and_the_words_stay(tmp_path: Path) -> None:
    """They would be left out by whoever reads it."""
    told = filled(tmp_path, SEALED)
    store = open_store(tmp_path, seal=SEALED)
    path = store._files.path_of(KEYS[0])
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    OPEN.pop().close()
    change_key(tmp_path, SEALED, PLAIN, Disk())
    found = read(tmp_path, PLAIN)
    assert found[KEYS[0]].messages == told[KEYS[0]].messages
    assert found[KEYS[0]].kv_tokens < told[KEYS[0]].kv_tokens
    assert found[KEYS[1]] == told[KEYS[1]]


@pytest.mark.parametrize(("before", "after"), [(PLAIN, SEALED), (SEALED, OTHER)])
def test_what_only_the_journal_of_a_killed_daemon_has_is_kept(tmp_path: Path, before: Seal, after: Seal) -> None:
    """A turn of a session, and a session of one turn; what is saved already stays as it is."""
    told = filled(tmp_path, before)
    store = open_store(tmp_path, seal=before)
    new = SessionKey("local", "new")
    made = {key: told_on(store, told.get(key, empty(key))) for key in (KEYS[0], KEYS[1], new)}
    store.save(made[KEYS[1]])
    OPEN.pop().close()
    assert change_key(tmp_path, before, after, Disk()) == 4
    store = open_store(tmp_path, seal=after)
    found = {key: store.load(key, MODEL) for key in made}
    OPEN.pop().close()
    said = {key: each.conversation for key, each in found.items() if isinstance(each, Found)}
    assert {key: (each.ids, each.messages) for key, each in said.items()} == {
        key: (each.ids, each.messages) for key, each in made.items()
    }
    assert said[KEYS[1]] == made[KEYS[1]]


def test_a_turn_that_is_nowhere_but_in_the_journal_is_kept_where_there_is_no_session_yet(tmp_path: Path) -> None:
    """Such a folder fits any key: it says nothing of its own."""
    key = SessionKey("local", "new")
    made = told_on(open_store(tmp_path, seal=PLAIN), empty(key))
    OPEN.pop().close()
    assert change_key(tmp_path, PLAIN, SEALED, Disk()) == 1
    found = open_store(tmp_path, seal=SEALED).load(key, MODEL)
    OPEN.pop().close()
    assert isinstance(found, Found)
    assert found.conversation.messages == made.messages


def test_a_turn_that_only_a_journal_in_the_clear_has_keeps_a_daemon_with_a_new_key_out(tmp_path: Path) -> None:
    """The folder is not empty, though no session has a file yet; what to do is said, and nothing is lost."""
    key = SessionKey("local", "new")
    made = told_on(open_store(tmp_path, seal=PLAIN), empty(key))
    OPEN.pop().close()
    for _ in range(2):
        with pytest.raises(ConfigError, match="not encrypted, and a key is configured"):
            open_store(tmp_path, seal=SEALED)
    assert change_key(tmp_path, PLAIN, SEALED, Disk()) == 1
    found = open_store(tmp_path, seal=SEALED).load(key, MODEL)
    OPEN.pop().close()
    assert isinstance(found, Found)
    assert found.conversation.messages == made.messages


def test_a_folder_that_a_daemon_has_is_refused(tmp_path: Path) -> None:
    """It would write beside us, with its key."""
    open_store(tmp_path, seal=SEALED)
    with pytest.raises(HostError, match="Stop it first"):
        change_key(tmp_path, SEALED, OTHER, Disk())


def test_who_goes_on_with_another_key_writes_nothing_with_it(tmp_path: Path) -> None:
    """Else conversations would lie there with three, of which no two open them all."""
    told = filled(tmp_path, PLAIN)
    with pytest.raises(Killed):
        change_key(tmp_path, PLAIN, SEALED, FaultyDisk(40, None))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.session")}
    assert sum(b"one " not in content for content in before.values()) > 0
    assert sum(b"one " in content for content in before.values()) > 0
    with pytest.raises(ConfigError, match="neither key"):
        change_key(tmp_path, PLAIN, OTHER, Disk())
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.session")} == before
    change_key(tmp_path, PLAIN, SEALED, Disk())
    assert read(tmp_path, SEALED) == told


def test_a_folder_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    """A word that was mistyped must not look like a disk that is encrypted."""
    with pytest.raises(ConfigError, match="there is no such folder"):
        change_key(tmp_path / "sessoins", PLAIN, SEALED, Disk())
    assert list(tmp_path.iterdir()) == []


def test_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's new files would lock the daemon out of its own conversations."""
    filled(tmp_path, PLAIN)
    user = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(ConfigError, match=r"belongs to user .*sudo -u"):
        change_key(tmp_path, PLAIN, SEALED, Disk())
    assert not (tmp_path / "key.check").exists()
