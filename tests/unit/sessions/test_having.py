"""Keys and values that a conversation is given: many at once are as one after the other."""

import time
from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoglmd.errors.request import InvalidArgumentError
from autoglmd.messages.sessions import KvBlock
from autoglmd.sessions import export
from autoglmd.sessions.conversation import Conversation
from tests.support.conversations import empty, turn_after
from tests.support.session_files import LAYOUT, packed, taken

TOKENS = 24
BLOCKS = st.builds(
    lambda start, tokens, more, number: KvBlock(start, tokens, tokens + more, bytes([number]) * 4 * (tokens + more)),
    st.integers(-1, TOKENS),
    st.integers(0, 9),
    st.integers(0, 2),
    st.integers(1, 255),
)


def said(tokens: int) -> Conversation:
    """A conversation of so many tokens, without keys and values."""
    turn, _ = turn_after(empty(model=LAYOUT), "one", tokens=tokens)
    return empty(model=LAYOUT).after(turn)


@settings(deadline=None)
@given(st.lists(BLOCKS, max_size=8))
def test_blocks_given_at_once_are_as_given_one_by_one(blocks: list[KvBlock]) -> None:
    """Whichever of them fit, replace others, cut them, or hold nothing; and what is kept has no gap."""
    together = said(TOKENS).having(*blocks)
    assert together == reduce(Conversation.having, blocks, said(TOKENS))
    assert [each.start for each in together.blocks] == [0, *(each.stop for each in together.blocks)][
        : len(together.blocks)
    ]


def test_a_conversation_in_many_pieces_takes_no_time_that_grows_with_their_square() -> None:
    """The event loop puts them together, with everybody's streams behind it."""
    told = said(100_000)
    blocks = [KvBlock(start, 1, 1, b"1234") for start in range(100_000)]
    begin = time.process_time()
    assert told.having(*blocks).kv_tokens == 100_000
    assert time.process_time() - begin < 5


def test_a_file_in_more_pieces_than_any_daemon_keeps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads it later would take a piece after the other."""
    told = said(TOKENS).having(*(KvBlock(start, 1, 1, b"1234") for start in range(TOKENS)))
    assert taken(packed(told)).kv_tokens == TOKENS
    monkeypatch.setattr(export, "_MOST_BLOCKS", TOKENS - 1)
    with pytest.raises(InvalidArgumentError, match="no whole session"):
        taken(packed(told))


def test_who_said_something_has_a_name_and_not_a_book(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts for nothing where conversations are bounded by their text."""
    told = said(TOKENS)
    long = replace(told, messages=(replace(told.messages[0], role="r" * 1025), *told.messages[1:]))
    with pytest.raises(InvalidArgumentError, match="no whole session"):
        taken(packed(long))
