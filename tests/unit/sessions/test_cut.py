"""Where a conversation may be cut, and what a cut one leaves on disk."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from autoglmd.errors.request import InvalidArgumentError
from autoglmd.messages.generation import Message
from autoglmd.messages.sessions import KvBlock
from autoglmd.sessions.additions import addition
from autoglmd.sessions.conversation import Conversation, Turn, TurnMark
from autoglmd.sessions.cut import answer_at, kv_until, until_place, until_turn
from autoglmd.sessions.record import RecordWriter
from tests.support.conversations import KEY, empty, grown, kv_at, mark_of, turn_after
from tests.support.faulty_disk import FaultyDisk, Killed
from tests.support.seals import PLAIN
from tests.support.session_stores import file_of, loaded, open_store

# Turns end at 5, 10 and 15; their answers begin at 2, 7 and 12.
SAID = grown(empty(), "one", "two", "three")


def same(cut: Conversation, told: Conversation) -> bool:
    """Whether they are the same but for when they were used, and for what blocks hold beyond what holds good."""
    kv = [[(block.start, block.tokens) for block in each.blocks] for each in (cut, told)]
    return kv[0] == kv[1] and replace(cut, blocks=()) == replace(told, blocks=(), last_used=cut.last_used)


@pytest.mark.parametrize("number", [1, 2])
def test_a_cut_between_turns_is_a_conversation_never_told_further(number: int) -> None:
    """By its number, or by its place."""
    told = grown(empty(), *("one", "two")[:number])
    assert same(until_turn(SAID, number), told)
    assert same(until_place(SAID, 5 * number), told)


def test_everything_and_nothing_are_places_as_well() -> None:
    """Nothing is the session before its first turn."""
    assert until_turn(SAID, 3) is SAID
    assert until_place(SAID, 15) is SAID
    assert same(until_turn(SAID, 0), empty())
    assert same(until_place(SAID, 0), empty())


def test_a_cut_inside_an_answer_keeps_its_turn_and_loses_the_last_tokens_kv() -> None:
    """As an answer that its limit ended there: nobody has computed its last token."""
    cut = until_place(SAID, 9, "ow")
    assert (cut.ids, cut.turns, cut.kv_tokens) == (SAID.ids[:9], 2, 8)
    assert cut.marks == (SAID.marks[0], TurnMark(2, 7, 9, 4))
    assert cut.messages == (*SAID.messages[:3], Message("assistant", "ow"))


def test_an_end_that_a_decode_computed_keeps_its_kv() -> None:
    """One that was left to the next turn's prefill does not; a place in the middle never does."""
    by_limit = SAID
    by_itself = replace(SAID, blocks=(KvBlock(0, 5, 5, b""), KvBlock(5, 10, 10, b"")))
    assert [kv_until(by_limit, place) for place in (0, 5, 8, 15)] == [0, 4, 7, 15]
    assert [kv_until(by_itself, place) for place in (0, 5, 8, 15)] == [0, 5, 7, 15]


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (1, "places are 0 and 3"),
        (2, "places are 0 and 3"),
        (6, "places are 5 and 8"),
        (12, "places are 10 and 13"),
        (-1, "Take 0 to 15"),
        (16, "Take 0 to 15"),
    ],
)
def test_a_place_in_a_prompt_or_outside_is_refused_with_the_nearest(place: int, says: str) -> None:
    """An answer of no token at all is no place either."""
    with pytest.raises(InvalidArgumentError, match=says):
        answer_at(SAID, place)


def test_turns_of_which_only_the_text_is_known_are_cut_by_their_messages() -> None:
    """As in files of before: the tokens of what is left are made anew."""
    unknown = replace(SAID, marks=())
    cut = until_turn(unknown, 2)
    assert (cut.messages, cut.ids, cut.blocks, cut.turns) == (SAID.messages[:4], (), (), 2)
    between = replace(SAID, marks=SAID.marks[::2])
    assert until_turn(between, 2) == cut
    assert same(until_turn(between, 1), grown(empty(), "one"))
    with pytest.raises(InvalidArgumentError, match="0 and 15"):
        answer_at(unknown, 5)
    for place in (0, 5):
        with pytest.raises(InvalidArgumentError, match="Take at_turn"):
            until_place(cut, place)
    assert until_turn(cut, 0).messages == ()


def test_turns_that_were_told_as_one_cannot_be_told_apart() -> None:
    """A first request may bring answers that were not given here."""
    history = (Message("user", "a"), Message("assistant", "b"))
    odd = replace(SAID, messages=(*history, *SAID.messages), marks=())
    with pytest.raises(InvalidArgumentError, match="turns 0 to 3 were told as one"):
        until_turn(odd, 2)
    prompts = (Message("prompt", "a"), Message("completion", "b")) * 3
    assert until_turn(replace(SAID, messages=prompts, marks=()), 1).messages == prompts[:2]


CUTS = {
    "turn": until_turn(SAID, 1),
    "answer": until_place(SAID, 9, "ow"),
    "text": until_turn(replace(SAID, marks=()), 1),
    "nothing": until_turn(SAID, 0),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_cut_adds_no_keys_and_values_to_the_file_and_is_found_after_a_restart(
    tmp_path: Path, cut: Conversation
) -> None:
    """It is one small record, or where nothing is left, a new file; the next turn goes on behind it."""
    store = open_store(tmp_path)
    store.save(SAID)
    before = file_of(tmp_path).read_bytes()
    assert addition(SAID, cut, RecordWriter(PLAIN, "")).kv_tokens == 0
    store.save(cut)
    assert file_of(tmp_path).read_bytes().startswith(before) is not cut.is_empty
    found = loaded(tmp_path)
    assert found is not None
    assert same(found, cut)
    assert open_store(tmp_path).entry(cut.key) is not None
    again = grown(cut, "other")
    open_store(tmp_path).save(again)
    found = loaded(tmp_path)
    assert found is not None
    assert same(found, again)
    assert not cut.ids or kv_of(found) == kv_at(mark_of(cut.key), 0, found.kv_tokens)


def kv_of(told: Conversation) -> bytes:
    """Keys and values that hold good."""
    return b"".join(bytes(block.data)[: 4 * block.tokens] for block in told.blocks)


def test_a_cut_and_the_turn_behind_it_may_be_saved_as_one(tmp_path: Path) -> None:
    """Also where the new turn begins with the tokens of the one that was taken back."""
    store = open_store(tmp_path)
    store.save(SAID)
    cut = until_turn(SAID, 1)
    ids = (*SAID.ids[5:8], 7, 7, 7)
    turn = Turn(
        2, SAID.last_used + 9, 5, ids, 2, (Message("user", "x"), Message("assistant", "y")), (TurnMark(2, 8, 11, 4),)
    )
    after = cut.after(turn).having(KvBlock(4, 6, 6, b"new " * 6))
    store.save(after)
    found = loaded(tmp_path)
    assert found is not None
    assert same(found, after)
    assert kv_of(found)[16:] == b"new " * 6


@pytest.mark.parametrize("fault", [errno.ENOSPC, None])
@pytest.mark.parametrize("name", CUTS)
def test_whatever_fails_while_a_cut_is_saved_it_is_as_before_or_as_after(
    tmp_path: Path, name: str, fault: int | None
) -> None:
    """At every step, by an error or by kill -9; and saved once more it is there."""
    cut = CUTS[name]
    for step in range(20):
        folder = tmp_path / str(step)
        open_store(folder).save(SAID)
        disk = FaultyDisk(step, fault)
        try:
            open_store(folder, disk).save(cut)
        except (OSError, Killed):
            found = loaded(folder)
            assert found is not None
            assert same(found, SAID) or same(found, cut)
        else:
            assert disk.steps == step
            break
        open_store(folder).save(cut)
        found = loaded(folder)
        assert found is not None
        assert same(found, cut)
    assert step > 3


def test_the_catalog_tells_how_much_of_a_cut_is_cached(tmp_path: Path) -> None:
    """As the file has it, also where a save brought no keys and values along."""
    store = open_store(tmp_path)
    for told, cached in ((SAID, 14), (CUTS["answer"], 8), (CUTS["turn"], 4), (CUTS["nothing"], 0)):
        store.save(told)
        entry = store.entry(told.key)
        assert entry is not None
        assert (entry.tokens, entry.cached_tokens) == (len(told.ids), cached)
    store.save(SAID)
    store.save(replace(grown(SAID, "four"), blocks=()))
    entry = store.entry(SAID.key)
    assert entry is not None
    assert (entry.tokens, entry.cached_tokens) == (20, 14)


def test_the_last_token_of_an_answer_that_was_taken_up_stays_where_it_comes_from() -> None:
    """It has a block of its own, and was not left to the next turn's prompt."""
    first, block = turn_after(empty(), "one", tokens=10)
    last = KvBlock(9, 1, 1, kv_at(mark_of(KEY), 9, 10))
    told = empty().after(first).having(block).having(last)
    assert kv_until(grown(told, "two"), 10) == 10
    assert kv_until(grown(empty().after(first).having(block), "two"), 10) == 9
