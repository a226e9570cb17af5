"""Each invariant, on a sound scheduler that is then broken in one place."""

from collections.abc import Callable

import pytest

from autoglmd.engine.invariants import violations
from autoglmd.engine.plan import Limits
from autoglmd.engine.scheduler import Scheduler
from autoglmd.engine.sequence import Sequence
from tests.support.stepper import request

LIMITS = Limits(rows=3, kv_tokens=40, chunk_tokens=16, padding=0.25)


def sequence(name: str, prompt_tokens: int = 3) -> Sequence:
    """A sequence whose prompt is computed and has given its first token."""
    made = Sequence(request(name, range(1, prompt_tokens + 1)))
    made.computed, made.output_ids = made.prefill_total, [9]
    return made


def decode(scheduler: Scheduler, *sequences: Sequence) -> None:
    """Let these decode."""
    for each in sequences:
        scheduler.enqueue(each)
    scheduler.start_decoding(tuple(each.sequence_id for each in sequences))


def sound() -> Scheduler:
    """Two decode, one is in chunks, one waits."""
    scheduler = Scheduler(LIMITS.rows)
    decode(scheduler, sequence("a"), sequence("b"))
    long = sequence("long", 20)
    long.computed = 5
    scheduler.enqueue(long)
    scheduler.start_chunked("long")
    scheduler.enqueue(Sequence(request("w", [1, 2])))
    return scheduler


def lose_a_position(scheduler: Scheduler) -> None:
    """The row holds less than was drawn."""
    scheduler.decoding[0].output_ids.append(9)


def count_too_much(scheduler: Scheduler) -> None:
    """The row holds more than was promised."""
    first = scheduler.decoding[0]
    first.output_ids += [9] * 6
    first.computed += 6


def overfill_rows(scheduler: Scheduler) -> None:
    """One more decodes than there are rows; its promise is small."""
    decode(scheduler, sequence("c", 1))


def sit_in_the_way(scheduler: Scheduler) -> None:
    """The prompt in chunks has a row that somebody decodes in."""
    scheduler.seat_chunked(1)


def overpromise(scheduler: Scheduler) -> None:
    """A large prompt in the place of a small one."""
    scheduler.remove(scheduler.decoding[1])
    decode(scheduler, sequence("large", 30))


def duplicate(scheduler: Scheduler) -> None:
    """Somebody runs and waits."""
    scheduler.enqueue(scheduler.decoding[0])


def leave_in_chunks(scheduler: Scheduler) -> None:
    """A prompt that is all computed was not promoted."""
    assert scheduler.chunked
    scheduler.chunked.computed = scheduler.chunked.prefill_total


def test_a_sound_scheduler_has_no_violations() -> None:
    """The state that the other tests break is whole."""
    assert violations(sound(), LIMITS) == []


@pytest.mark.parametrize(
    ("breach", "said"),
    [
        (lose_a_position, ["a holds 3 tokens and should hold 4"]),
        (count_too_much, ["a holds 9 tokens, promised 7"]),
        (
            overfill_rows,
            ["4 sequences in 3 rows", "row 2 is the prompt's in chunks, and 3 decode", "43 tokens promised of 40"],
        ),
        (sit_in_the_way, ["row 1 is the prompt's in chunks, and 2 decode"]),
        (overpromise, ["65 tokens promised of 40"]),
        (duplicate, ["a is there 2 times"]),
        (leave_in_chunks, ["long is prefilled and still in chunks"]),
    ],
)
def test_each_breach_is_found(breach: Callable[[Scheduler], None], said: list[str]) -> None:
    """One thing is broken, and the list says that and nothing else."""
    scheduler = sound()
    breach(scheduler)
    assert violations(scheduler, LIMITS) == said


def test_all_breaches_are_told_at_once() -> None:
    """A second defect does not hide behind the first."""
    scheduler = sound()
    duplicate(scheduler)
    lose_a_position(scheduler)
    leave_in_chunks(scheduler)
    assert len(violations(scheduler, LIMITS)) == 3
