"""Which tokens an answer that was sent has."""

from pathlib import Path

import numpy as np
import pytest

from autoglmd.config.rooms import SessionsConfig
from autoglmd.engine.sequence import Emitted, Ended, SequenceRequest
from autoglmd.host.clock import SystemClock
from autoglmd.messages.generation import FinishReason, Message, SamplingParams, TokenText
from autoglmd.model.sampler import Sampling
from autoglmd.pipeline.answer import AnswerText
from autoglmd.pipeline.preparation import Begun, Prepared
from autoglmd.pipeline.session_book import open_sessions
from autoglmd.pipeline.turn import OpenTurn, said_count
from tests.support.conversations import KEY, empty
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


def test_an_answer_that_was_handed_over_before_it_began_keeps_its_own_tokens(tmp_path: Path) -> None:
    """Its stream makes a text of its own when it begins, and goes on for a while; nothing is told by other tokens."""
    tokenizer, book = tokenizer_of("tiny-int8"), open_sessions(tmp_path, SessionsConfig(), SystemClock())
    turn, texts = OpenTurn(book, KEY, tokenizer, lambda: 1.0), [AnswerText(tokenizer, ())]
    turn.wait(lambda: None, lambda _: None)
    turn.hand_over(lambda: texts[-1].ends)
    texts.append(AnswerText(tokenizer, ()))
    sampling = Sampling.resolve(SamplingParams(), SamplingParams(), 0)
    sequence = SequenceRequest("s", np.array([7, 8], np.int64), 100, frozenset(), sampling)
    turn.prepared(Prepared(sequence, begun=Begun(empty(), 0, (Message("user", "?"),), "assistant")))
    # One for each letter, as no tokenizer would have it.
    ids = [tokenizer.encode_on(letter)[0] for letter in TEXT[:17]]
    for token in ids:
        shown = texts[-1].push(token, None)
        turn.heard(Emitted("s", token, None, 0.0))
        if shown is not None:
            turn.sent(TokenText(shown.text, shown.ids))
    turn.heard(Ended("s", FinishReason.CANCELLED, 0.0))
    told = book.find(KEY)
    book.stop(10.0)
    assert told is not None
    assert told.ids == (7, 8, *ids)
    assert told.messages[-1].content == TEXT[:17]
