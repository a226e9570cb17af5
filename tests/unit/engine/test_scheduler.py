"""Rows: dense for those who decode, the last one for a prompt in chunks."""

import pytest

from autoglmd.engine.scheduler import Scheduler
from autoglmd.engine.sequence import Sequence
from tests.support.stepper import request


def sequence(name: str, prompt_tokens: int = 3, computed: int = 2) -> Sequence:
    """A sequence that has got so far."""
    made = Sequence(request(name, range(1, prompt_tokens + 1)))
    made.computed = computed
    return made


def decoding(*names: str, rows: int = 4) -> Scheduler:
    """A scheduler with these in rows 0, 1, 2 ..., each one token further than the one before."""
    scheduler = Scheduler(rows)
    for index, name in enumerate(names):
        scheduler.enqueue(sequence(name, computed=2 + index))
    scheduler.start_decoding(names)
    return scheduler


def start_chunked(scheduler: Scheduler, computed: int = 2) -> Sequence:
    """Let a long prompt, which has got so far, have the last row."""
    scheduler.enqueue(sequence("long", computed=computed))
    return scheduler.start_chunked("long")


def names(scheduler: Scheduler) -> list[str]:
    """Who sits in which row."""
    return [each.sequence_id for each in scheduler.decoding]


@pytest.mark.parametrize(
    ("leaving", "move", "left"),
    [(0, (2, 0, 4), ["c", "b"]), (1, (2, 1, 4), ["a", "c"]), (2, None, ["a", "b"])],
)
def test_the_last_row_fills_the_gap(leaving: int, move: tuple[int, int, int] | None, left: list[str]) -> None:
    """Whoever leaves, the others are dense afterwards, and the move says which KV goes where and how much."""
    scheduler = decoding("a", "b", "c")
    assert scheduler.remove(scheduler.decoding[leaving]) == move
    assert names(scheduler) == left


def test_the_prompt_in_chunks_sits_in_the_last_row_until_it_decodes() -> None:
    """Promotion moves it to the first row that is free behind the decoding ones."""
    scheduler = decoding("a")
    start_chunked(scheduler, computed=9)
    assert (scheduler.chunked_row, scheduler.rows_in_use) == (3, 2)
    assert scheduler.promote_chunked() == (3, 1, 9)
    assert names(scheduler) == ["a", "long"]
    assert scheduler.chunked is None


def test_a_prompt_that_is_already_in_its_row_is_not_moved() -> None:
    """With all other rows decoding, the last row is the next one."""
    scheduler = decoding("a", "b", "c")
    start_chunked(scheduler)
    assert scheduler.promote_chunked() is None
    assert names(scheduler) == ["a", "b", "c", "long"]


def test_promoting_nobody_is_nothing() -> None:
    """Without a prompt in chunks there is no move."""
    assert decoding("a").promote_chunked() is None


def test_removing_the_prompt_in_chunks_moves_nobody() -> None:
    """The last row is simply free again."""
    scheduler = decoding("a", "b")
    long = start_chunked(scheduler)
    assert scheduler.remove(long) is None
    assert scheduler.rows_in_use == 2


def test_the_line_keeps_its_order_around_those_who_are_taken() -> None:
    """Taking from the middle leaves the rest as it stood, and gives them in the order asked for."""
    scheduler = Scheduler(4)
    for name in "abcd":
        scheduler.enqueue(sequence(name))
    assert [each.sequence_id for each in scheduler.start_decoding(("c", "a"))] == ["c", "a"]
    assert names(scheduler) == ["c", "a"]
    assert [each.sequence_id for each in scheduler.view().waiting] == ["b", "d"]


def test_one_who_waits_can_leave_the_line() -> None:
    """A cancelled sequence needs no row to be removed."""
    scheduler = Scheduler(4)
    waiting = sequence("w")
    scheduler.enqueue(waiting)
    assert scheduler.remove(waiting) is None
    assert scheduler.is_idle


def test_discarding_a_failed_run_forgets_all_of_it_and_nothing_else() -> None:
    """All decoding ones of a failed decode go; the prompt in chunks stays, and the other way round."""
    scheduler = decoding("a", "b")
    long = start_chunked(scheduler)
    scheduler.discard(scheduler.decoding)
    assert (names(scheduler), scheduler.chunked) == ([], long)
    scheduler.discard((long,))
    assert scheduler.rows_in_use == 0


def test_clearing_tells_everyone_who_was_there() -> None:
    """Decoding, in chunks and waiting; afterwards there is nobody."""
    scheduler = decoding("a")
    start_chunked(scheduler)
    scheduler.enqueue(sequence("w"))
    assert [each.sequence_id for each in scheduler.clear()] == ["a", "long", "w"]
    assert scheduler.is_idle


def test_the_view_counts_what_planning_needs() -> None:
    """Promises of all who have a row, and what is left of the prompt in chunks."""
    scheduler = decoding("a", "b")
    scheduler.enqueue(sequence("long", prompt_tokens=21, computed=5))
    scheduler.start_chunked("long")
    scheduler.enqueue(sequence("w", prompt_tokens=8, computed=0))
    view = scheduler.view()
    assert (view.decoding, view.chunked_left, view.promised_tokens) == (2, 16, 7 + 7 + 25)
    assert [(each.sequence_id, each.prefill, each.promised) for each in view.waiting] == [("w", 8, 12)]
