"""The journal of answers: what is found of the last one, and what goes."""

import json
import stat
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from autoglmd.messages.generation import FinishReason, SamplingParams
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.answer import Answer, packed, unpacked
from autoglmd.sessions.journal import Addition, Journal
from autoglmd.sessions.store import SessionStore
from tests.support.answers import answer
from tests.support.conversations import KEY, NOW, empty
from tests.support.journals import FILE, OTHER, TURN, begun, changed, drawn, opened
from tests.support.seals import PLAIN
from tests.support.session_stores import save_turn, store_in


def test_an_answer_is_found_as_it_was_journalled(tmp_path: Path) -> None:
    """By another daemon: every field, the tokens of all commits, and its end."""
    journal = opened(tmp_path)
    journal.add([begun(), drawn(0, 1, 2)])
    journal.add([drawn(2, 2**32 - 1)])
    assert opened(tmp_path).find(FILE, KEY) == replace(answer(), drawn=(1, 2, 2**32 - 1))
    assert opened(tmp_path).broken_off() == 1
    journal.add([Addition(FILE, None, 3, (4,), (FinishReason.STOP, NOW))])
    whole = replace(answer(), drawn=(1, 2, 2**32 - 1, 4), end=FinishReason.STOP)
    assert opened(tmp_path).find(FILE, KEY) == whole
    assert opened(tmp_path).broken_off() == 0


def test_what_a_request_leaves_open_stays_open(tmp_path: Path) -> None:
    """No log probabilities are not zero of them."""
    plain = replace(answer(), sampling=SamplingParams(seed=0, temperature=0.0), messages=(), stop=())
    journal = opened(tmp_path)
    journal.add([begun(plain)])
    assert journal.find(FILE, KEY) == plain


def test_the_next_answer_takes_the_place_of_the_last(tmp_path: Path) -> None:
    """With its tokens."""
    journal = opened(tmp_path)
    journal.add([begun(), drawn(0, 1, 2)])
    journal.add([begun(answer(request_id="r2"))])
    assert journal.find(FILE, KEY) == answer(request_id="r2")


def test_a_commit_is_all_or_nothing(tmp_path: Path) -> None:
    """Answers of one commit are as of one moment."""
    journal = opened(tmp_path)
    journal.add([begun()])
    with pytest.raises(TypeError):
        journal.add([drawn(0, 1), drawn(1, None)])  # type: ignore[arg-type]
    assert journal.find(FILE, KEY) == answer()


def test_another_tenants_answer_is_none(tmp_path: Path) -> None:
    """Although it were under one's own file's name."""
    journal = opened(tmp_path)
    journal.add([begun()])
    assert journal.find(FILE, SessionKey("eve", KEY.session_id)) is None
    assert journal.find("no.session", KEY) is None


def test_the_journal_is_for_its_owner_alone(tmp_path: Path) -> None:
    """It holds what people say."""
    opened(tmp_path).add([begun()])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}


def test_answers_go_when_nobody_can_want_them_any_more(tmp_path: Path) -> None:
    """Some time after their end, or long after they broke off."""
    journal = opened(tmp_path)
    journal.add([begun(replace(answer(), begun=at), f"{at:g}.session") for at in (10.0, 20.0)])
    journal.add([Addition(FILE, answer(begun=5.0), 0, (1,), (FinishReason.LENGTH, 30.0))])
    journal.tidy(ended_before=30.0, begun_before=20.0)
    assert [journal.find(file, KEY) is None for file in ("10.session", "20.session", FILE)] == [True, False, False]
    journal.tidy(ended_before=31.0, begun_before=20.0)
    assert journal.find(FILE, KEY) is None
    journal.tidy(ended_before=float("-inf"), begun_before=float("-inf"))
    assert journal.find("20.session", KEY) is not None


def test_what_is_remembered_of_an_answer_is_found_with_it(tmp_path: Path) -> None:
    """As long as it is the last one; another one's is another file's."""
    journal = opened(tmp_path)
    journal.add([begun(), drawn(0, 1, 2), Addition(FILE, None, 2, (), turn=TURN)])
    assert opened(tmp_path).turn(FILE) == TURN
    assert opened(tmp_path).find(FILE, KEY) == replace(answer(), drawn=(1, 2))
    assert journal.turn("other.session") is None
    journal.add([begun(answer(request_id="r2"))])
    assert journal.turn(FILE) is None


def test_what_is_remembered_stays_when_the_answer_is_taken_up_by_another_daemon(tmp_path: Path) -> None:
    """A kill before it is told again would cost the turn; what was drawn since is found behind what was known."""
    opened(tmp_path).add([begun(answer(begun=5.0)), drawn(0, 1), drawn(1, 2), Addition(FILE, None, 2, (), turn=TURN)])
    journal = opened(tmp_path)
    found = journal.find(FILE, KEY)
    assert found is not None
    journal.add([Addition(FILE, found, 0, found.drawn)])
    journal.add([drawn(2, 3)])
    assert opened(tmp_path).turn(FILE) == TURN
    assert opened(tmp_path).find(FILE, KEY) == replace(found, drawn=(1, 2, 3))


def test_a_turn_that_is_nowhere_else_stays_for_longer(tmp_path: Path) -> None:
    """A box may be without power for days."""
    journal = opened(tmp_path)
    journal.add([replace(begun(), end=(FinishReason.STOP, 30.0), turn=replace(TURN, at=31.0))])
    asked = []

    def is_saved(file: str, at: float) -> bool:
        asked.append((file, at))
        return len(asked) > 1

    journal.tidy(40.0, 40.0, is_saved)
    assert journal.turn(FILE) is not None
    journal.tidy(40.0, 40.0, is_saved)
    assert journal.turn(FILE) is None
    assert asked == [(FILE, 31.0)] * 2


def test_a_turn_counts_among_the_bytes_that_all_may_take(tmp_path: Path) -> None:
    """Else long answers would be free."""
    journal = Journal(tmp_path / "journal.sqlite", PLAIN, most_bytes=answer().size + 2000)
    long = replace(TURN, ids=tuple(range(1000)))
    for _ in range(2):
        journal.add([replace(begun(), turn=TURN)])
        journal.tidy(0.0, 0.0)
        assert journal.turn(FILE) == TURN
    journal.add([Addition(FILE, None, 0, (), turn=long)])
    journal.tidy(0.0, 0.0)
    assert journal.turn(FILE) is None


def test_the_oldest_answers_go_where_there_are_too_many(tmp_path: Path) -> None:
    """A bound on their bytes, whoever asks for how many sessions."""
    journal = Journal(tmp_path / "journal.sqlite", PLAIN, most_bytes=answer().size * 2 + 8)
    journal.add([begun(answer(begun=float(number)), f"{number}.session") for number in range(5)])
    journal.tidy(ended_before=0.0, begun_before=0.0)
    assert [journal.find(f"{number}.session", KEY) is None for number in range(5)] == [True] * 3 + [False] * 2


def test_answers_that_are_given_stay_where_others_ended(tmp_path: Path) -> None:
    """However long ago they began: somebody else's prompts must not cost what a crash would leave of them."""
    journal = Journal(tmp_path / "journal.sqlite", PLAIN, most_bytes=answer().size + 8)
    journal.add([begun(answer(begun=1.0), "given.session")])
    ended = (FinishReason.STOP, 9.0)
    journal.add([Addition(f"{number}.session", answer(begun=float(number)), 0, (1,), ended) for number in (2, 3)])
    journal.tidy(ended_before=0.0, begun_before=0.0)
    assert journal.find("given.session", KEY) == answer(begun=1.0)


def test_a_tenant_who_takes_most_gives_up_first(tmp_path: Path) -> None:
    """Newer answers of one cost no older one of another: not the ended, and not those that are given."""
    for end in (None, (FinishReason.STOP, 9.0)):
        journal = Journal(tmp_path / "journal.sqlite", PLAIN, most_bytes=answer().size * 2 + 8)
        journal.add([Addition("eve.session", answer(SessionKey("eve", "s"), begun=1.0), 0, (1,), end)])
        journal.add([Addition(f"{at}.session", answer(begun=float(at)), 0, (1,), end) for at in (2, 3, 4)])
        journal.tidy(ended_before=0.0, begun_before=0.0)
        assert files_in(journal) == {"4.session", "eve.session"}
        journal.close()


def test_a_turn_that_is_nowhere_else_is_the_last_to_be_given_up(tmp_path: Path) -> None:
    """It was told to its end: before it goes what ended and is saved, and what is still given, of whomever."""
    sizes = [answer().size + len(told_text()), answer().size, answer().size]
    for most, left in ((sum(sizes[:2]), {"alone.session", "given.session"}), (sizes[0], {"alone.session"}), (9, set())):
        journal = Journal(tmp_path / "journal.sqlite", PLAIN, most_bytes=most + 99)
        ended = (FinishReason.STOP, 9.0)
        journal.add([Addition("alone.session", answer(begun=1.0), 0, (1,), ended, TURN)])
        journal.add([begun(answer(SessionKey("eve", "s"), begun=2.0), "given.session")])
        journal.add([Addition("saved.session", answer(begun=3.0), 0, (1,), ended, replace(TURN, at=7.0))])
        journal.tidy(0.0, 0.0, lambda file, _: file == "saved.session")
        assert files_in(journal) == left
        journal.close()


def test_nobody_is_asked_what_is_saved_while_there_is_room(tmp_path: Path) -> None:
    """It is looked up for each answer, and after each save."""
    journal = opened(tmp_path)
    journal.add([replace(begun(), turn=TURN)])
    asked = []
    journal.tidy(0.0, 0.0, lambda *about: bool(asked.append(about)))
    assert asked == []


def test_tokens_without_a_beginning_are_not_kept(tmp_path: Path) -> None:
    """Of an answer that went to make room while it was given: nobody could read them, and nothing would remove them."""
    journal = opened(tmp_path)
    journal.add([begun(), drawn(0, 1)])
    changed(tmp_path, "DELETE FROM answers")
    journal.add([drawn(1, 2), begun(answer(begun=1.0), "old.session")])
    assert rows_of_drawn(journal) == 1
    journal.tidy(ended_before=0.0, begun_before=2.0)
    assert rows_of_drawn(journal) == 0


def files_in(journal: Journal) -> set[str]:
    """Of which sessions there is an answer."""
    with journal.using() as database:
        return {file for (file,) in database.execute("SELECT file FROM answers")}


def told_text() -> str:
    """A turn as the journal packs it."""
    return json.dumps(asdict(TURN), ensure_ascii=False, separators=(",", ":"))


def rows_of_drawn(journal: Journal) -> int:
    """How many rows of tokens there are."""
    with journal.using() as database:
        ((count,),) = database.execute("SELECT COUNT(*) FROM drawn").fetchall()
    return int(count)


def journalled(store: SessionStore, key: SessionKey) -> Answer | None:
    """What a store's journal has of a session."""
    return store.journal.find(store.file_of(key), key)


def test_a_sessions_answer_goes_with_it(tmp_path: Path) -> None:
    """When it is deleted, evicted or expired; another's stays."""
    store = store_in(tmp_path, now=NOW)
    for key in (KEY, OTHER):
        save_turn(store, empty(key), "hello")
        store.journal.add([Addition(store.file_of(key), replace(answer(), key=key, begun=store.now()), 0, (1,))])
    assert store.delete(KEY)
    assert journalled(store, KEY) is None
    assert journalled(store, OTHER) is not None
    store.close()
    later = store_in(tmp_path, now=NOW + 4000)
    assert later.tidy() == 1
    assert journalled(later, OTHER) is None
    later.close()


def test_an_answer_that_broke_off_in_its_first_turn_can_be_deleted(tmp_path: Path) -> None:
    """There is no session's file yet, but something was said."""
    store = store_in(tmp_path)
    store.journal.add([Addition(store.file_of(KEY), answer(), 0, (1,))])
    assert not store.delete(KEY)
    assert journalled(store, KEY) is None
    store.close()


def test_a_packed_answer_is_no_larger_than_it_says() -> None:
    """The bounds are kept by that."""
    large = replace(answer(text="\x01" * 5000), prompt_ids=tuple(range(2**32 - 3000, 2**32)), stop=("\x02" * 200,) * 16)
    assert len(packed(large)) <= large.size
    assert unpacked(packed(large)) == large
