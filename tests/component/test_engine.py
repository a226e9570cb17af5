"""The engine on onnxruntime: ends within a step, limits of context and memory."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from autoglmd.engine.sequence import Admitted, Ended, Prefilled
from autoglmd.host.clock import SystemClock
from autoglmd.messages.generation import FinishReason
from tests.support.fixture_models import CONTEXT_TOKENS, TINY_MODELS
from tests.support.ort_engine import OrtEngine, alone, request, running

LONG = 400


def chunks_of(engine: OrtEngine, name: str) -> list[int]:
    """Prefilled positions of a prompt, as told."""
    return [each.done_tokens for each in engine.log.events if isinstance(each, Prefilled) and each.sequence_id == name]


def end_of(engine: OrtEngine, name: str) -> Ended:
    """The one end of a sequence."""
    engine.log.wait_ended(name)
    (end,) = engine.log.ends(name)
    return end


def test_a_cancel_during_a_long_prefill_ends_it_within_a_step() -> None:
    """From inside the event of the first chunk: no second chunk is computed, and no token drawn."""
    with running("tiny-int8", chunk_tokens=8) as engine:
        engine.cancel_when("1", lambda event: isinstance(event, Prefilled))
        engine.submit(request("1", LONG, 10))
        assert end_of(engine, "1").reason is FinishReason.CANCELLED
        assert chunks_of(engine, "1") == [8]
        assert engine.answer("1") == []


def test_a_deadline_during_a_long_prefill_ends_it() -> None:
    """A deadline that passes before the prompt is computed ends the sequence without a token."""
    with running("tiny-int8", chunk_tokens=8) as engine:
        engine.submit(replace(request("1", LONG, 10), deadline=SystemClock().monotonic() + 0.01))
        assert end_of(engine, "1").reason is FinishReason.DEADLINE
        assert len(chunks_of(engine, "1")) < LONG // 8
        assert engine.answer("1") == []


def test_a_cancel_in_the_middle_of_an_answer_ends_it_within_a_step() -> None:
    """Cancelled at its third token, a sequence draws no fourth."""
    with running("tiny-fp32") as engine:
        engine.cancel_when("1", lambda _event: len(engine.log.tokens("1")) == 3)
        engine.submit(request("1", 5, 100))
        assert end_of(engine, "1").reason is FinishReason.CANCELLED
        assert len(engine.answer("1")) == 3


def test_running_answers_go_on_while_a_long_prompt_is_computed() -> None:
    """Between two chunks of somebody's prompt everyone who decodes gets a token."""
    with running("tiny-int8", chunk_tokens=8) as engine:
        engine.submit(request("1", 4, 200))
        engine.log.wait_tokens("1", 2)
        engine.submit(request("2", LONG, 5))
        end_of(engine, "2")
        order = [event for event in engine.log.events if isinstance(event, Prefilled) or event.sequence_id == "1"]
        chunks = [index for index, event in enumerate(order) if isinstance(event, Prefilled)]
        assert len(chunks) == -(-LONG // 8)
        assert {later - earlier for earlier, later in itertools.pairwise(chunks)} == {2}


def test_a_short_prompt_starts_while_a_long_one_is_computed() -> None:
    """It has its row, and its first token, before the long one is through."""
    with running("tiny-int8", chunk_tokens=8) as engine:
        engine.submit(request("1", LONG, 5))
        engine.log.wait(lambda: bool(chunks_of(engine, "1")))
        engine.submit(request("2", 4, 3))
        end_of(engine, "1")
        names = [event.sequence_id for event in engine.log.events if isinstance(event, Ended)]
        assert names == ["2", "1"]


@pytest.mark.parametrize("name", TINY_MODELS)
def test_a_prompt_of_one_token_is_answered(name: str) -> None:
    """The shortest prefill that there is, also in a crowd of others."""
    lonely = [alone(name, request(str(number), 1, 6), 64) for number in range(3)]
    with running(name, rows=8) as engine:
        engine.submit(request("7", 9, 6), *(request(str(number), 1, 6) for number in range(3)), request("8", 9, 6))
        engine.log.wait_ended("0", "1", "2", "7", "8")
        assert [engine.answer(str(number)) for number in range(3)] == lonely


@pytest.mark.parametrize("name", TINY_MODELS)
def test_a_sequence_may_fill_the_context_to_its_last_position(name: str) -> None:
    """Prompt and output together are the context, for a long prompt and for a long answer."""
    with running(name, rows=2, chunk_tokens=256) as engine:
        engine.submit(request("1", CONTEXT_TOKENS - 1, 1), request("2", 2, CONTEXT_TOKENS - 2))
        for each, count in (("1", 1), ("2", CONTEXT_TOKENS - 2)):
            assert end_of(engine, each).reason is FinishReason.LENGTH
            assert len(engine.answer(each)) == count


def test_promises_beyond_the_memory_wait_for_those_who_have_it() -> None:
    """With memory for 100 tokens, sequences of 60 run one after another although rows are free."""
    with running("tiny-int8", kv_bytes=100 * 256) as engine:
        assert engine.limits.kv_tokens == 100
        engine.submit(*(request(str(number), 40, 20) for number in range(3)))
        engine.log.wait_ended("0", "1", "2")
        order = [
            (type(event).__name__, event.sequence_id)
            for event in engine.log.events
            if isinstance(event, Admitted | Ended)
        ]
        assert order == [(kind, str(number)) for number in range(3) for kind in ("Admitted", "Ended")]


def test_promises_that_fit_together_run_together() -> None:
    """Three sequences of 30 tokens share memory for 100, and a fourth joins when one has ended."""
    with running("tiny-int8", kv_bytes=100 * 256) as engine:
        engine.submit(*(request(str(number), 10, 20) for number in range(4)))
        engine.log.wait_ended("0", "1", "2", "3")
        kinds = [type(event) for event in engine.log.events if isinstance(event, Admitted | Ended)]
        assert kinds[:3] == [Admitted] * 3
        assert kinds[3] is Ended


def test_the_end_of_text_token_ends_an_answer() -> None:
    """Whatever token the model gives third is made its end of text: two tokens are the answer."""
    (_, _), (_, _), (third, _), *_ = alone("tiny-int8", request("1", 9, 5), 64)
    with running("tiny-int8") as engine:
        engine.submit(replace(request("1", 9, 5), eos_ids=frozenset({third})))
        assert end_of(engine, "1").reason is FinishReason.STOP
        assert len(engine.answer("1")) == 2


def test_a_run_that_onnxruntime_refuses_ends_its_own_sequence() -> None:
    """An id beyond the embedding makes the prefill raise; a neighbour's answer is that of one alone."""
    expected = alone("tiny-fp32", request("2", 5, 30), 64)
    with running("tiny-fp32") as engine:
        bad = replace(request("1", 5, 5), prompt_ids=np.array([5, 10**6, 5]))
        engine.submit(request("2", 5, 30))
        engine.log.wait_tokens("2", 1)
        engine.submit(bad)
        assert end_of(engine, "1").reason is FinishReason.ERROR
        assert end_of(engine, "2").reason is FinishReason.LENGTH
        assert engine.answer("2") == expected
