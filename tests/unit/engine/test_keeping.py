"""Sequences that bring their past along, and those whose rows are kept."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from autoglmd.engine.sequence import Ended, Kept, SequenceRequest
from autoglmd.messages.generation import FinishReason
from autoglmd.messages.sessions import KvBlock
from tests.support.fake_runner import FakeRunner, expected_tokens
from tests.support.stepper import Stepper, request

PROMPT = list(range(1, 13))


def block(tokens: Iterable[int], start: int = 0) -> KvBlock:
    """What the fake keeps for these tokens."""
    ids = np.array(list(tokens), np.int64)
    return KvBlock(start, len(ids), len(ids), ids.tobytes())


def going_on(name: str, past: int, prompt: list[int] = PROMPT, max_tokens: int = 4) -> SequenceRequest:
    """A request whose first tokens are known, in two blocks of which the first is longer than it holds good."""
    first = replace(block([*prompt[: past // 2], 61, 62]), tokens=past // 2)
    blocks = (first, block(prompt[past // 2 : past], past // 2)) if past else ()
    return replace(request(name, prompt, max_tokens), past=blocks, keep_from=past)


def kept(stepper: Stepper, name: str) -> list[KvBlock]:
    """What was told of a sequence's row."""
    return [event.block for event in stepper.events if isinstance(event, Kept) and event.sequence_id == name]


@pytest.mark.parametrize("past", [1, 4, 11])
@pytest.mark.parametrize("chunk_tokens", [4, 16])
def test_a_past_that_is_brought_along_is_as_good_as_computed(past: int, chunk_tokens: int) -> None:
    """In one run or in chunks; only what is new is computed."""
    stepper = Stepper(chunk_tokens=chunk_tokens)
    stepper.add(going_on("a", past))
    stepper.run()
    assert stepper.tokens("a") == expected_tokens(PROMPT, 4)
    assert stepper.steps.totals.prompt_tokens == len(PROMPT) - past


def test_sequences_with_a_past_decode_beside_fresh_ones() -> None:
    """They share no prefill, and every decode."""
    stepper = Stepper()
    stepper.add(request("fresh", [5, 6]), going_on("a", 10), request("other", [7, 8]), going_on("b", 11))
    stepper.run()
    for name, prompt in (("fresh", [5, 6]), ("other", [7, 8]), ("a", PROMPT), ("b", PROMPT)):
        assert stepper.tokens(name) == expected_tokens(prompt, 4)


@pytest.mark.parametrize("past", [0, 10])
def test_a_row_is_told_from_where_it_was_not_known_before_its_sequence_ends(past: int) -> None:
    """All that was computed: the prompt's rest, and the answer but its last token."""
    stepper = Stepper()
    stepper.add(going_on("a", past))
    stepper.run()
    (told,) = kept(stepper, "a")
    held = np.frombuffer(told.data, np.int64).tolist()
    assert (told.start, held) == (past, [*PROMPT, *expected_tokens(PROMPT, 3)][past:])
    kinds = [type(event) for event in stepper.events]
    assert kinds.index(Kept) < kinds.index(Ended)


def test_what_was_kept_is_the_past_of_the_next_turn() -> None:
    """Again and again, as a conversation does."""
    prompt, blocks = [3, 4, 5], ()
    for turn in range(3):
        stepper = Stepper()
        asked = replace(request("a", prompt, 5), past=blocks, keep_from=blocks[-1].stop if blocks else 0)
        stepper.add(asked)
        stepper.run()
        assert stepper.tokens("a") == expected_tokens(prompt, 5)
        blocks = (*blocks, *kept(stepper, "a"))
        prompt = [*prompt, *stepper.tokens("a"), 20 + turn]


def test_a_row_that_moved_is_told_whole() -> None:
    """Others ended before it, and it fills their gap."""
    stepper = Stepper()
    stepper.add(request("short", [1, 2], 1), replace(request("long", [3, 4], 6), keep_from=0))
    stepper.run()
    (told,) = kept(stepper, "long")
    assert np.frombuffer(told.data, np.int64).tolist() == [3, 4, *expected_tokens([3, 4], 5)]


def test_one_that_is_cancelled_in_its_prompt_tells_what_was_computed() -> None:
    """The chunks that were done."""
    stepper = Stepper(chunk_tokens=4)
    stepper.add(going_on("a", 0))
    stepper.step()
    sequence = stepper.scheduler.chunked
    assert sequence is not None
    stepper.steps.end(sequence, FinishReason.CANCELLED)
    stepper.events += stepper.steps.take_events()
    (told,) = kept(stepper, "a")
    assert np.frombuffer(told.data, np.int64).tolist() == PROMPT[: told.tokens]


def test_nothing_is_told_of_a_sequence_without_a_row() -> None:
    """Who was cancelled in the line has computed nothing."""
    stepper = Stepper()
    stepper.add(going_on("a", 0))
    (sequence,) = stepper.scheduler.everyone()
    stepper.steps.end(sequence, FinishReason.CANCELLED)
    assert not any(isinstance(event, Kept) for event in stepper.steps.take_events())


def test_a_row_that_cannot_be_read_ends_all_the_same() -> None:
    """The answer is whole; only its keys and values are not kept."""

    class Unreadable(FakeRunner):
        def read_kv(self, row: int, cuts: Sequence[int]) -> tuple[KvBlock, ...]:
            raise MemoryError

    stepper = Stepper(Unreadable())
    stepper.add(going_on("a", 0))
    stepper.run()
    assert stepper.tokens("a") == expected_tokens(PROMPT, 4)
    assert [end.reason for end in stepper.ends("a")] == [FinishReason.LENGTH]


def test_a_past_that_does_not_fit_the_model_ends_its_sequence_alone() -> None:
    """Whoever runs beside it goes on."""

    class Choosy(FakeRunner):
        def write_kv(self, row: int, blocks: Iterable[KvBlock]) -> None:
            raise ValueError("16 bytes for 3 tokens")

    stepper = Stepper(Choosy())
    stepper.add(request("fresh", [5, 6]), going_on("a", 10))
    stepper.run()
    assert stepper.tokens("fresh") == expected_tokens([5, 6], 4)
    assert [end.reason for end in stepper.ends("a")] == [FinishReason.ERROR]
