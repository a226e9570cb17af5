"""What has come of an answer: nothing twice, nothing left out, and nothing of another one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openglm import Logprob, Started, Token, TokenLogprobs
from openglm._received import Received, ToldOtherwiseError

ANSWER = [(number, f"{number}·") for number in range(12)]


def events(cuts: set[int]) -> list[Token]:
    """The answer as a stream that was cut at these places."""
    places = [0, *sorted(cuts), len(ANSWER)]
    groups = [ANSWER[start:end] for start, end in pairwise(places)]
    return [Token("".join(text for _, text in group), tuple(id_ for id_, _ in group)) for group in groups]


CUTS = st.sets(st.integers(1, len(ANSWER) - 1))


@given(first=CUTS, second=CUTS, lost=st.integers(0, len(ANSWER)))
def test_an_answer_told_anew_goes_on_where_it_was(first: set[int], second: set[int], lost: int) -> None:
    """However its events were cut, each time."""
    received = Received()
    out = [received.add(token) for token in events(first)[:lost]]
    received.repeat()
    out += [received.add(token) for token in events(second)]
    received.check_told()
    new = [token for token in out if token is not None]
    assert "".join(token.text for token in new) == "".join(text for _, text in ANSWER)
    assert [id_ for token in new for id_ in token.ids] == [id_ for id_, _ in ANSWER] == received.ids


def test_log_probabilities_are_cut_as_their_ids() -> None:
    """One per id."""
    entries = tuple(TokenLogprobs(Logprob(number, "x", -1.0)) for number in range(3))
    received = Received()
    received.add(Token("a", (0,), entries[:1]))
    received.repeat()
    assert received.add(Token("abc", (0, 1, 2), entries)) == Token("bc", (1, 2), entries[1:])


@pytest.mark.parametrize("token", [Token("a", (2,)), Token("b", (1,))])
def test_another_answer_is_not_mixed_in(token: Token) -> None:
    """Neither other tokens, nor other text of theirs."""
    received = Received()
    received.add(Token("a", (1,)))
    received.repeat()
    with pytest.raises(ToldOtherwiseError):
        received.add(token)


@pytest.mark.parametrize("other", [{"model_version": "2"}, {"seed": 8}, {"prompt_tokens": 4}, {"model": "n"}])
def test_another_beginning_is_another_answer(other: dict[str, object]) -> None:
    """Model, version, prompt and seed make the answer; what was cached does not."""
    facts = {"model": "m", "model_version": "1", "prompt_tokens": 3, "seed": 7}
    received = Received()
    assert received.begin(Started(**facts)) is not None  # type: ignore[arg-type]
    assert received.begin(Started(**facts, cached_tokens=2)) is None  # type: ignore[arg-type]
    with pytest.raises(ToldOtherwiseError, match=next(iter(other))):
        received.begin(Started(**(facts | other)))  # type: ignore[arg-type]


def test_an_end_before_what_came_is_another_answers() -> None:
    """Two tokens came, and now there is one."""
    received = Received()
    received.add(Token("ab", (1, 2)))
    received.repeat()
    received.add(Token("a", (1,)))
    with pytest.raises(ToldOtherwiseError, match="sooner"):
        received.check_told()
