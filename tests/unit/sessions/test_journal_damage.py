"""The journal of answers where a disk lies, tears, or is full."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autoglmd.sessions.answer import Answer, packed
from autoglmd.sessions.journal import MAX_ANSWER_BYTES, Journal, _head_context
from autoglmd.sessions.seal import Seal
from autoglmd.sessions.summed import Summed
from tests.support.answers import answer
from tests.support.conversations import KEY, NOW
from tests.support.journals import FILE, TURN, begun, changed, drawn, opened
from tests.support.seals import PLAIN


@pytest.mark.parametrize("damage", [b"", b"not a database, but longer than a header of one" * 100])
def test_a_broken_journal_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    """What was in it is lost, and nothing else."""
    journal = opened(tmp_path)
    journal.add([begun()])
    journal.close()
    for leftover in tmp_path.glob("journal.sqlite-*"):
        leftover.unlink()
    (tmp_path / "journal.sqlite").write_bytes(damage)
    journal = opened(tmp_path)
    assert journal.find(FILE, KEY) is None
    journal.add([begun()])
    assert opened(tmp_path).find(FILE, KEY) == answer()


def test_a_page_that_is_torn_is_no_answer(tmp_path: Path) -> None:
    """Wherever it is: an error of the disk's, or none, and the journal goes on."""
    journal = opened(tmp_path)
    journal.add([begun(answer(text="a" * 9000)), drawn(0, *range(2000))])
    journal.close()
    path = tmp_path / "journal.sqlite"
    whole = path.read_bytes()
    whole_answer = replace(answer(text="a" * 9000), drawn=tuple(range(2000)))
    for at in range(0, len(whole), 512):
        path.write_bytes(whole[:at] + random.Random(at).randbytes(512) + whole[at + 512 :])  # noqa: S311 - damage, no secret
        journal = opened(tmp_path)
        try:
            found = journal.find(FILE, KEY)
            journal.add([begun(file="new.session"), drawn(0, 1, file="new.session")])
        except OSError:
            found = None
        journal.close()
        assert found in (None, whole_answer) or is_shorter(found, whole_answer)
        for leftover in tmp_path.glob("journal*"):
            leftover.unlink()


def is_shorter(found: Answer | None, whole: Answer) -> bool:
    """Whether it lacks some of its last tokens, and nothing else."""
    return found is not None and found == replace(whole, drawn=whole.drawn[: len(found.drawn)])


def test_a_flipped_bit_in_a_row_is_noticed(tmp_path: Path, seal: Seal) -> None:
    """Another seed or another token would be another text, told as the same."""
    journal = Journal(tmp_path / "journal.sqlite", seal)
    journal.add([begun(), drawn(0, 1, 2)])
    with journal.using() as database:
        ((head,), (ids,)) = database.execute("SELECT head FROM answers UNION ALL SELECT ids FROM drawn").fetchall()
    for sound, statement in ((head, "UPDATE answers SET head = ?"), (ids, "UPDATE drawn SET ids = ?")):
        for at in range(0, len(sound), 7):
            changed(tmp_path, statement, sound[:at] + bytes([sound[at] ^ (1 << at % 8)]) + sound[at + 1 :])
            assert journal.find(FILE, KEY) is None
        changed(tmp_path, statement, sound)
    assert journal.find(FILE, KEY) == replace(answer(), drawn=(1, 2))


def test_tokens_of_the_answer_before_are_none_of_the_next(tmp_path: Path, seal: Seal) -> None:
    """Though somebody put them back under their own name, where they would fit."""
    journal = Journal(tmp_path / "journal.sqlite", seal)
    journal.add([begun(answer(begun=NOW)), drawn(0, 1, 2)])
    with journal.using() as database:
        ((ids,),) = database.execute("SELECT ids FROM drawn").fetchall()
    journal.add([begun(answer(begun=NOW + 1)), drawn(0, 3, 4)])
    changed(tmp_path, "UPDATE drawn SET ids = ?", ids)
    assert journal.find(FILE, KEY) is None


CHANGES: list[Callable[[dict[str, object]], object]] = [
    lambda meta: meta.pop("turn"),
    lambda meta: meta.update(turn=0),
    lambda meta: meta.update(turn="x"),
    lambda meta: meta.update(shared=-1),
    lambda meta: meta.update(first_message=-1),
    lambda meta: meta.update(max_tokens=0),
    lambda meta: meta.update(max_tokens=1e999),
    lambda meta: meta.update(prompt_ids=[1, -2]),
    lambda meta: meta.update(prompt_ids=7),
    lambda meta: meta.update(messages=[["user", "hi"]]),
    lambda meta: meta.update(model={"name": "tiny"}),
    lambda meta: meta.update(sampling=None),
    lambda meta: meta.update(key={}),
    lambda meta: meta.update(stop=None),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_row_that_no_daemon_wrote_is_no_answer(tmp_path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """A disk's word is looked at before it is taken."""
    meta = json.loads(packed(answer()))
    change(meta)
    assert found_with(tmp_path, summed(json.dumps(meta).encode())) is None


@pytest.mark.parametrize("head", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 100_000, 7, None, "text"])
def test_a_row_that_is_no_text_of_ours_is_no_answer(tmp_path: Path, head: object) -> None:
    """Whatever SQLite gives in its place."""
    assert found_with(tmp_path, head) is None
    if isinstance(head, bytes):
        assert found_with(tmp_path, summed(head)) is None


def summed(head: bytes) -> bytes:
    """A row's head with a sum that is right."""
    return Summed(PLAIN).seal(head, _head_context(FILE))


def found_with(folder: Path, head: object) -> Answer | None:
    """What is found where the row's head is this."""
    journal = opened(folder)
    journal.add([begun()])
    changed(folder, "UPDATE answers SET head = ?", head)
    return journal.find(FILE, KEY)


def test_a_row_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """Memory is asked for what an answer may take, and no more."""
    assert found_with(tmp_path, summed(packed(answer()))) == answer()
    assert found_with(tmp_path, summed(b" " * MAX_ANSWER_BYTES + packed(answer()))) is None


def test_tokens_are_taken_up_to_a_gap(tmp_path: Path) -> None:
    """What lies behind it belongs to nothing."""
    journal = opened(tmp_path)
    journal.add([begun(), drawn(0, 1, 2), drawn(3, 4)])
    found = journal.find(FILE, KEY)
    assert found is not None
    assert found.drawn == (1, 2)


@pytest.mark.parametrize("ids", [b"\1\2\3", "text", 9])
def test_tokens_that_are_none_are_no_answer(tmp_path: Path, ids: object) -> None:
    """Nor is an end that is none."""
    journal = opened(tmp_path)
    journal.add([begun(), drawn(0, 1)])
    changed(tmp_path, "UPDATE drawn SET ids = ?", ids)
    assert journal.find(FILE, KEY) is None
    journal.add([begun()])
    changed(tmp_path, "UPDATE answers SET reason = 'bored'")
    assert journal.find(FILE, KEY) is None


def test_a_full_disk_is_an_os_error_and_what_was_there_stays(tmp_path: Path) -> None:
    """SQLite has its own names for it."""
    journal = opened(tmp_path)
    journal.add([begun()])
    with journal.using() as database:
        database.execute("PRAGMA max_page_count = 8")
    with pytest.raises(OSError, match="journal of answers: database or disk is full"):
        journal.add([begun(answer(text="a" * 100_000), "big.session")])
    assert journal.find(FILE, KEY) == answer()


def test_a_folder_that_is_none_is_an_os_error(tmp_path: Path) -> None:
    """Each call says so, and the next may succeed."""
    (tmp_path / "in the way").write_text("x")
    with pytest.raises(OSError, match="Not a directory"):
        Journal(tmp_path / "in the way" / "journal.sqlite", PLAIN).add([begun()])


def test_a_turn_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """Whatever the disk made of it."""
    opened(tmp_path).add([replace(begun(), turn=TURN)])
    for spoilt in (b"", b"\xff", b"[]", b"{}", b'{"number": "x"}', bytes(40)):
        changed(tmp_path, "UPDATE answers SET turn = ?", spoilt)
        assert opened(tmp_path).turn(FILE) is None
        changed(tmp_path, "UPDATE answers SET turn = ?", Summed(PLAIN).seal(spoilt, b"journal turn " + FILE.encode()))
        assert opened(tmp_path).turn(FILE) is None
