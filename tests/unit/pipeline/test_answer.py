"""Tokens in, text and ids out: no id and no text is ever lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoglmd.messages.generation import Logprob, TokenLogprobs, TokenText
from autoglmd.pipeline.answer import AnswerText
from tests.support.fixture_models import VOCABULARY, tokenizer_of

TOKENIZER = tokenizer_of("tiny-per-token")


def ids_of(text: str) -> list[int]:
    """Its tokens."""
    return TOKENIZER.encode(text, add_prefix=False)


def told(answer: AnswerText, ids: list[int]) -> list[TokenText]:
    """Everything that is shown, until a stop string or the end."""
    shown = []
    for token in ids:
        piece = answer.push(token, None)
        shown += [piece] if piece else []
        if answer.stop:
            return shown
    last = answer.flush()
    return shown + ([last] if last else [])


def text_of(shown: list[TokenText]) -> str:
    """All pieces together."""
    return "".join(piece.text for piece in shown)


@settings(max_examples=200)
@given(
    st.lists(st.one_of(st.integers(0, VOCABULARY - 1), st.sampled_from(ids_of("你好😀ab"))), max_size=30),
    st.lists(st.text("ab你好\ufffd", min_size=1, max_size=3), max_size=3),
)
def test_every_id_is_told_once_and_in_order(ids: list[int], stops: list[str]) -> None:
    """Whatever is held back, the ids that were taken all come out, and the text up to the stop string."""
    answer = AnswerText(TOKENIZER, tuple(stops))
    shown = told(answer, ids)
    told_ids = [token for piece in shown for token in piece.ids]
    assert told_ids == ids[: len(told_ids)]
    assert all(piece.ids for piece in shown)
    if not answer.stop:
        assert told_ids == ids
        assert text_of(shown) == TOKENIZER.decode(ids)
    assert not any(stop in text_of(shown) for stop in stops)


def test_text_held_for_a_stop_string_that_never_came_is_told_at_the_end() -> None:
    """The last letters of an answer are not lost because a stop string begins with them."""
    answer = AnswerText(TOKENIZER, ("bc",))
    assert text_of(told(answer, ids_of("ab"))) == "ab"


def test_a_token_whose_end_is_held_back_comes_whole() -> None:
    """Text without an id of its own could not be counted by who takes the answer up."""
    token = next(token for token in range(VOCABULARY) if TOKENIZER.decode([token]).endswith("t") and token > 300)
    text = TOKENIZER.decode([token])
    answer = AnswerText(TOKENIZER, ("t!",))
    assert answer.push(token, None) is None
    assert answer.flush() == TokenText(text, (token,))


def test_text_is_shown_while_a_later_tokens_end_is_held_back() -> None:
    """Only the last id waits for its rest."""
    token = next(token for token in range(VOCABULARY) if TOKENIZER.decode([token]).endswith("t") and token > 300)
    text = TOKENIZER.decode([token])
    answer = AnswerText(TOKENIZER, ("t!",))
    assert answer.push(token, None) is None
    assert answer.push(token, None) == TokenText(text + text[:-1], (token,))
    assert answer.flush() == TokenText("t", (token,))


def test_ids_of_held_tokens_travel_with_the_character() -> None:
    """All four byte tokens of 😀 come with its one piece of text."""
    shown = told(AnswerText(TOKENIZER, ()), ids_of("😀"))
    assert shown == [TokenText("😀", tuple(ids_of("😀")))]


def test_a_stop_string_ends_the_text_before_it_and_takes_its_ids_along() -> None:
    """Generation that stops still tells of the tokens that were drawn for the stop string."""
    answer = AnswerText(TOKENIZER, ("好",))
    ids = ids_of("hello 好 more")
    shown = told(answer, ids)
    assert answer.stop == "好"
    assert text_of(shown) == "hello "
    taken = [token for piece in shown for token in piece.ids]
    assert "好" in TOKENIZER.decode(taken)
    assert "more" not in TOKENIZER.decode(taken)


def test_a_stop_string_that_is_complete_in_the_flush_is_found() -> None:
    """What the detokenizer held back may be what completes a stop string."""
    answer = AnswerText(TOKENIZER, ("x\ufffd",))
    half = ids_of("😀")[:1]
    shown = told(answer, [*ids_of("ax"), *half])
    assert answer.stop == "x\ufffd"
    assert text_of(shown) == "a"
    assert [token for piece in shown for token in piece.ids] == [*ids_of("ax"), *half]


@pytest.mark.parametrize("text", ["ab", "😀"])
def test_there_is_one_logprob_entry_per_id_with_its_own_text(text: str) -> None:
    """Log probabilities wait together with the ids, and alternatives are named too."""
    answer = AnswerText(TOKENIZER, ())
    ids = ids_of(text)
    pieces = [answer.push(token, TokenLogprobs(Logprob(token, -1.0), (Logprob(5, -2.0),))) for token in ids]
    entries = [entry for piece in pieces if piece for entry in piece.logprobs]
    assert [entry.chosen.token_id for entry in entries] == ids
    assert [entry.chosen.text for entry in entries] == [TOKENIZER.piece(token) for token in ids]
    assert entries[0].top[0].text == TOKENIZER.piece(5)
