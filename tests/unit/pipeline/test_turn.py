"""Which tokens an answer that was sent has."""

import pytest

from autoglmd.pipeline.answer import AnswerText
from autoglmd.pipeline.turn import said_count
from tests.support.fixture_models import tokenizer_of

TEXT = "Turn on the light 把客厅的灯调到50%, 好吗? 🙂."


@pytest.mark.parametrize("name", ["tiny-int8", "tiny-per-token"])
def test_of_an_answer_that_was_cut_the_tokens_say_what_was_sent(name: str) -> None:
    """At every character: those that were drawn as far as they say it, and others for the rest."""
    tokenizer = tokenizer_of(name)
    ids = tokenizer.encode(TEXT, add_prefix=False)
    answer = AnswerText(tokenizer, ())
    for token in ids:
        answer.push(token, None)
    whole = tokenizer.decode(ids)
    assert answer.ends[-1] == len(whole)
    for length in range(len(whole) + 1):
        sent = whole[:length]
        count = said_count(answer.ends, sent)
        told = answer.ends[count - 1] if count else 0
        assert tokenizer.decode(ids[:count]) == sent[:told]
        assert tokenizer.decode([*ids[:count], *tokenizer.encode_on(sent[told:])]) == sent
        # None was told anew that had been drawn whole.
        assert all(end > length or end == told for end in answer.ends[count:])


def test_tokens_that_say_nothing_by_themselves_are_not_said() -> None:
    """They may be the beginning of a character."""
    assert said_count([1, 1, 1, 2], "a") == 1
    assert said_count([0, 0, 1], "") == 0
    assert said_count([1, 2, 3], "abc") == 3
    assert said_count([], "") == 0
