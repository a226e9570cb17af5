"""The rule that chooses between the two INT8 forms, on figures that are made up."""

import math
from dataclasses import replace

import pytest

from autoglmctl.build.choice import MOST_AGREEMENT_LOST, MOST_PERPLEXITY_INCREASE, TIE, choose, relative_speed
from autoglmctl.build.report import Agreement, Candidate, Cost

FLOAT_PERPLEXITY = 20.0
COST = Cost(
    1_000_000,
    prefill_tokens_per_second=300.0,
    decode_tokens_per_second=50.0,
    decode_8_rows_tokens_per_second=200.0,
    perplexity=FLOAT_PERPLEXITY,
)
GROUPS = Candidate("groups", COST, Agreement(800, 0.1, 0.2, 0.01, 0.98, 0.001), True)
PER_TOKEN = replace(GROUPS, scheme="per-token")


def faster(candidate: Candidate, prefill: float = 1.0, decode: float = 1.0, rows: float = 1.0) -> Candidate:
    """Return the candidate with its speeds multiplied."""
    cost = replace(
        candidate.cost,
        prefill_tokens_per_second=300.0 * prefill,
        decode_tokens_per_second=50.0 * decode,
        decode_8_rows_tokens_per_second=200.0 * rows,
    )
    return replace(candidate, cost=cost)


def with_perplexity(candidate: Candidate, perplexity: float | None) -> Candidate:
    """Return the candidate with another perplexity."""
    return replace(candidate, cost=replace(candidate.cost, perplexity=perplexity))


def with_agreement(candidate: Candidate, greedy: float) -> Candidate:
    """Return the candidate with another greedy agreement."""
    return replace(candidate, agreement=replace(candidate.agreement, greedy_agreement=greedy))


def test_of_two_that_are_accurate_the_faster_is_taken() -> None:
    """By the geometric mean of three ratios: one that loses may be outweighed by two that win."""
    per_token = faster(PER_TOKEN, prefill=1.6, decode=0.9, rows=1.2)
    assert relative_speed(per_token, GROUPS) == pytest.approx((1.6 * 0.9 * 1.2) ** (1 / 3))
    choice = choose(GROUPS, per_token, FLOAT_PERPLEXITY)
    assert choice.candidate is per_token
    assert choice.reason == (
        "per-token: 1.20 times as fast as groups (decode 0.90x, 8 rows 1.20x, prefill 1.60x), and accurate enough."
    )


def test_groups_are_taken_where_they_are_faster() -> None:
    """The ratios are then told from their side."""
    choice = choose(faster(GROUPS, decode=2.0), PER_TOKEN, FLOAT_PERPLEXITY)
    assert choice.candidate.scheme == "groups"
    assert "1.26 times as fast as per-token (decode 2.00x" in choice.reason


@pytest.mark.parametrize(("times", "scheme"), [(1 + 0.9 * TIE, "groups"), (1 + 1.1 * TIE, "per-token")])
def test_a_tie_goes_to_groups(times: float, scheme: str) -> None:
    """Speeds within 3 % are not told apart; beyond, they are."""
    choice = choose(GROUPS, faster(PER_TOKEN, times, times, times), FLOAT_PERPLEXITY)
    assert choice.candidate.scheme == scheme
    assert ("a tie goes to groups" in choice.reason) == (scheme == "groups")


@pytest.mark.parametrize(("part", "scheme"), [(0.9, "per-token"), (1.1, "groups")])
def test_who_loses_too_much_perplexity_is_out_however_fast(part: float, scheme: str) -> None:
    """At most one per cent more than FP32's."""
    perplexity = FLOAT_PERPLEXITY * (1 + part * MOST_PERPLEXITY_INCREASE)
    per_token = with_perplexity(faster(PER_TOKEN, 2, 2, 2), perplexity)
    choice = choose(GROUPS, per_token, FLOAT_PERPLEXITY)
    assert choice.candidate.scheme == scheme
    if scheme == "groups":
        assert "the other loses too much accuracy" in choice.reason
        assert "per-token: perplexity +1.10 %" in choice.reason


@pytest.mark.parametrize(("part", "scheme"), [(0.9, "per-token"), (1.1, "groups")])
def test_who_agrees_too_little_is_out_however_fast(part: float, scheme: str) -> None:
    """At most two points below the better one's greedy agreement."""
    per_token = with_agreement(faster(PER_TOKEN, 2, 2, 2), 0.98 - part * MOST_AGREEMENT_LOST)
    assert choose(GROUPS, per_token, FLOAT_PERPLEXITY).candidate.scheme == scheme


def test_groups_can_be_the_one_that_is_out() -> None:
    """Nothing in the rule but the tie prefers them."""
    choice = choose(with_agreement(faster(GROUPS, 2, 2, 2), 0.9), PER_TOKEN, FLOAT_PERPLEXITY)
    assert choice.candidate.scheme == "per-token"


@pytest.mark.parametrize(("perplexities", "scheme"), [((21.0, 22.0), "groups"), ((22.0, 21.0), "per-token")])
def test_where_neither_is_accurate_the_less_bad_is_taken(perplexities: tuple[float, float], scheme: str) -> None:
    """And said so: there is a build, but whoever reads the report is warned."""
    groups = with_perplexity(GROUPS, perplexities[0])
    per_token = with_perplexity(faster(PER_TOKEN, 2, 2, 2), perplexities[1])
    choice = choose(groups, per_token, FLOAT_PERPLEXITY)
    assert choice.candidate.scheme == scheme
    assert "neither keeps FP32's accuracy" in choice.reason


@pytest.mark.parametrize("perplexity", [math.nan, math.inf, None])
def test_a_perplexity_that_is_no_number_never_wins(perplexity: float | None) -> None:
    """Logits of NaN compare as neither more nor less; they must not slip through."""
    per_token = with_perplexity(faster(PER_TOKEN, 2, 2, 2), perplexity)
    assert choose(GROUPS, per_token, FLOAT_PERPLEXITY).candidate.scheme == "groups"
    groups = with_perplexity(GROUPS, perplexity)
    assert choose(groups, PER_TOKEN, FLOAT_PERPLEXITY).candidate.scheme == "per-token"


def test_rows_that_depend_on_their_batch_lose_to_rows_that_do_not() -> None:
    """Groups of 128 on AVX-512, say: an answer that depends on its company is worth no speed."""
    choice = choose(replace(faster(GROUPS, 2, 2, 2), batch_invariant=False), PER_TOKEN, FLOAT_PERPLEXITY)
    assert choice.candidate.scheme == "per-token"
    assert "rows depend" in choice.reason


def test_where_both_depend_on_their_batch_speed_decides() -> None:
    """There is nothing to prefer then."""
    pair = [replace(each, batch_invariant=False) for each in (GROUPS, faster(PER_TOKEN, 2, 2, 2))]
    assert choose(*pair, FLOAT_PERPLEXITY).candidate.scheme == "per-token"


def test_speeds_that_were_not_measured_leave_it_at_groups() -> None:
    """A figure that is not there is no reason."""
    per_token = replace(PER_TOKEN, cost=replace(COST, decode_tokens_per_second=None))
    choice = choose(GROUPS, per_token, FLOAT_PERPLEXITY)
    assert choice.candidate.scheme == "groups"
    assert "not all speeds were measured" in choice.reason
