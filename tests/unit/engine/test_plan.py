"""The arithmetic of a step, held against its promises on arbitrary lines."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoglmd.engine.plan import EngineView, Limits, StepPlan, Waiting, can_ever_fit, plan_step
from tests.support.plan_simulation import Simulation

LONGEST_PROMPT = 400
LONGEST_OUTPUT = 12
NAMES = itertools.count()


def waiting(prefill: int, output: int = 1, name: str = "") -> Waiting:
    """Someone in the line."""
    return Waiting(name or f"s{next(NAMES)}", prefill, prefill + output)


def view(*entries: Waiting, decoding: int = 0, chunked_left: int | None = None, promised: int = 0) -> EngineView:
    """A line, and what runs."""
    return EngineView(entries, decoding, chunked_left, promised)


LIMITS = Limits(rows=4, kv_tokens=4000, chunk_tokens=64, padding=0.25)

limits_of_any_engine = st.builds(
    Limits,
    rows=st.integers(1, 9),
    kv_tokens=st.integers(LONGEST_PROMPT + 1 + LONGEST_OUTPUT, 1500),
    chunk_tokens=st.integers(8, 128),
    padding=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]),
)
# Mostly lengths that several of fit one step, where batches and budgets bite.
lengths = st.one_of(st.integers(1, 12), st.integers(1, 60), st.integers(1, LONGEST_PROMPT))
entries = st.builds(waiting, lengths, st.integers(1, LONGEST_OUTPUT))


@st.composite
def situations(draw: Callable[..., object]) -> tuple[EngineView, Limits]:
    """Any view that an engine within its limits can have."""
    limits: Limits = draw(limits_of_any_engine)  # type: ignore[assignment]
    chunked = draw(st.one_of(st.none(), st.integers(1, LONGEST_PROMPT)))
    decoding = draw(st.integers(0, limits.rows - (chunked is not None)))
    promised = draw(st.integers(0, limits.kv_tokens)) if decoding or chunked else 0
    line = draw(st.lists(entries, max_size=12))
    return EngineView(tuple(line), decoding, chunked, promised), limits  # type: ignore[arg-type]


def batches_of(plan: StepPlan, seen: EngineView) -> list[list[int]]:
    """Prefill lengths, batch by batch."""
    by_name = {entry.sequence_id: entry.prefill for entry in seen.waiting}
    return [[by_name[name] for name in batch] for batch in plan.batches]


@given(situations())
def test_a_plan_stays_within_rows_promises_and_tokens(situation: tuple[EngineView, Limits]) -> None:
    """No step takes more rows, promises more memory, or computes more prompt tokens than the limits say."""
    seen, limits = situation
    plan = plan_step(seen, limits)
    by_name = {entry.sequence_id: entry for entry in seen.waiting}
    rows = seen.decoding + (seen.chunked_left is not None) + len(plan.admitted)
    promised = seen.promised_tokens + sum(by_name[name].promised for name in plan.admitted)
    computed = plan.chunk + sum(len(batch) * max(batch) for batch in batches_of(plan, seen))
    assert rows <= limits.rows
    assert not plan.admitted or promised <= limits.kv_tokens
    assert computed <= limits.chunk_tokens


@given(situations())
def test_a_batch_wastes_at_most_its_share_on_padding(situation: tuple[EngineView, Limits]) -> None:
    """Within a batch the real tokens are at least 1 - padding of those computed."""
    seen, limits = situation
    for batch in batches_of(plan_step(seen, limits), seen):
        assert sum(batch) >= len(batch) * max(batch) * (1 - limits.padding)


@given(situations())
def test_each_is_planned_once_and_comes_from_the_line(situation: tuple[EngineView, Limits]) -> None:
    """A plan names nobody twice and nobody unknown, and starts a long prompt only where none is under way."""
    seen, limits = situation
    plan = plan_step(seen, limits)
    assert len(set(plan.admitted)) == len(plan.admitted)
    assert set(plan.admitted) <= {entry.sequence_id for entry in seen.waiting}
    assert not (plan.start_chunked and seen.chunked_left is not None)
    assert plan == plan_step(seen, limits)


@given(situations())
def test_no_short_prompt_is_overtaken_by_another(situation: tuple[EngineView, Limits]) -> None:
    """The short prompts that start are the first ones of the line, whatever their lengths do to the batches."""
    seen, limits = situation
    started = {name for batch in plan_step(seen, limits).batches for name in batch}
    shorts = [entry.sequence_id for entry in seen.waiting if not limits.is_long(entry)]
    assert started == set(shorts[: len(started)])


@given(situations())
def test_the_prompt_in_chunks_moves_in_every_step(situation: tuple[EngineView, Limits]) -> None:
    """A long prompt gets at least half of the token budget, or all that it needs."""
    seen, limits = situation
    plan = plan_step(seen, limits)
    by_name = {entry.sequence_id: entry.prefill for entry in seen.waiting}
    left = by_name[plan.start_chunked] if plan.start_chunked else seen.chunked_left
    if left is None:
        assert plan.chunk == 0
    else:
        assert plan.chunk >= min(left, limits.chunk_tokens - limits.chunk_tokens // 2)


@given(limits_of_any_engine, st.lists(entries, min_size=1, max_size=20))
def test_an_empty_engine_always_starts_somebody(limits: Limits, line: list[Waiting]) -> None:
    """With all rows free, the head of the line is never left waiting."""
    assert line[0].sequence_id in plan_step(view(*line), limits).admitted


def everyone_starts(sim: Simulation, stream: Callable[[], Waiting], watched: str) -> int | None:
    """Run with a line that is refilled in every step. Returns the step that gave the watched one its row."""
    work = sum(-(-entry.prefill // (sim.limits.chunk_tokens // 2)) + LONGEST_OUTPUT + 1 for entry in sim.line)
    for step in range(work + 1):
        sim.line += [stream() for _ in range(max(0, 12 - len(sim.line)))]
        if watched in sim.step().admitted:
            return step
    return None


@settings(max_examples=60)
@given(limits_of_any_engine, st.lists(entries, min_size=1, max_size=6), st.data())
def test_nobody_waits_for_ever(limits: Limits, ahead: list[Waiting], data: st.DataObject) -> None:
    """Whatever keeps arriving behind it, a sequence gets a row after the work that was in front of it."""
    victim = data.draw(entries)
    pattern = itertools.cycle(data.draw(st.lists(st.tuples(lengths, st.integers(1, LONGEST_OUTPUT)), min_size=1)))
    sim = Simulation(limits, [*ahead, victim])
    assert everyone_starts(sim, lambda: waiting(*next(pattern)), victim.sequence_id) is not None


def test_a_tiny_prompt_is_not_starved_by_pairs_that_fill_the_budget() -> None:
    """Padding is paid from what is left over, not from the place of somebody who came earlier."""
    limits = Limits(rows=4, kv_tokens=4000, chunk_tokens=128, padding=0.25)
    tiny = waiting(1, name="tiny")
    plan = plan_step(view(tiny, waiting(64), waiting(50)), limits)
    assert "tiny" in plan.admitted


def test_a_long_prompt_moves_on_while_short_ones_stream_in() -> None:
    """A long prompt takes a bounded number of steps however many short ones come."""
    sim = Simulation(LIMITS, [waiting(640, name="long")])
    steps = 0
    while sim.chunked is not None or any(entry.sequence_id == "long" for entry in sim.line):
        sim.line += [waiting(30) for _ in range(4)]
        sim.step()
        steps += 1
    assert steps <= 640 // 32


def test_a_short_prompt_overtakes_a_line_of_long_ones() -> None:
    """A short prompt does not wait until all long ones before it are computed."""
    first, second, short = waiting(640), waiting(640), waiting(10, name="short")
    plan = plan_step(view(first, second, short), LIMITS)
    assert plan.start_chunked == first.sequence_id
    assert plan.batches == (("short",),)
    assert plan.chunk == 54


def test_nobody_overtakes_one_who_waits_for_memory() -> None:
    """Small promises behind a big one wait too: otherwise the big one would wait for ever."""
    limits = Limits(rows=4, kv_tokens=100, chunk_tokens=64, padding=0.25)
    plan = plan_step(view(waiting(10, 60), waiting(3, 3), decoding=1, promised=50), limits)
    assert plan.admitted == ()


def test_short_prompts_of_one_length_share_a_run() -> None:
    """Equal prompts are one batch; one of another length is a run of its own."""
    same = [waiting(10, name=f"same{index}") for index in range(2)]
    plan = plan_step(view(*same, waiting(1, name="other")), LIMITS)
    assert sorted(plan.batches, key=len) == [("other",), ("same0", "same1")]


def test_padding_never_takes_a_step_over_its_budget() -> None:
    """Three prompts that fill the step to the last token are not one run, which would compute two tokens more."""
    plan = plan_step(view(waiting(22, name="a"), waiting(22, name="b"), waiting(20, name="c")), LIMITS)
    assert plan.batches == (("a", "b"), ("c",))


@pytest.mark.parametrize(("prefill", "is_long"), [(32, False), (33, True)])
def test_a_prompt_is_long_from_more_than_half_a_step_on(prefill: int, is_long: bool) -> None:
    """Half a step is what short prompts may share beside a long one."""
    assert LIMITS.is_long(waiting(prefill)) is is_long


@pytest.mark.parametrize(("promised", "context", "fits"), [(100, 100, True), (101, 100, False), (4001, 9000, False)])
def test_what_never_fits_is_told_from_what_waits(promised: int, context: int, fits: bool) -> None:
    """A promise beyond the context, or beyond all memory, is hopeless in an empty engine too."""
    assert can_ever_fit(promised, LIMITS, context) is fits
