"""Sampling, held against the formulas written out plainly."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoglmd.errors.availability import EngineFailedError
from autoglmd.messages.generation import SamplingParams
from autoglmd.model.sampler import Sampler, Sampling

Row = NDArray[np.float32]
VOCAB = 24
DRAWS = 1500


def logits_of(seed: int = 0, spread: float = 2.0) -> Row:
    """A row of noise."""
    return np.asarray(np.random.default_rng(seed).normal(0, spread, VOCAB), np.float32)


def sampler(*prompt: int, **settings: float) -> Sampler:
    """A sampler that has seen a prompt."""
    return Sampler(Sampling(**{"seed": 1, **settings}), np.array(prompt, np.int64))  # type: ignore[arg-type]


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities."""
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())


def kept_by_top_k(probabilities: NDArray[np.float64], k: int) -> set[int]:
    """The k most probable."""
    return set(np.argsort(-probabilities, kind="stable")[:k].tolist())


def kept_by_top_p(probabilities: NDArray[np.float64], p: float) -> set[int]:
    """The smallest set of the most probable that holds p (Holtzman et al., 2020)."""
    kept: set[int] = set()
    mass = 0.0
    for token in np.argsort(-probabilities, kind="stable").tolist():
        if mass >= p:
            break
        kept.add(token)
        mass += probabilities[token]
    return kept


def kept_by_min_p(probabilities: NDArray[np.float64], p: float) -> set[int]:
    """Those at least p times as probable as the best (Nguyen et al., 2024)."""
    return set(np.flatnonzero(probabilities >= p * probabilities.max()).tolist())


def drawn(settings: dict[str, float], logits: Row, draws: int = DRAWS) -> NDArray[np.float64]:
    """How often each token was drawn, as shares."""
    one = sampler(**settings)
    ids = [one.draw(logits, position).token_id for position in range(draws)]
    return np.bincount(ids, minlength=VOCAB) / draws


def test_temperature_zero_takes_the_best() -> None:
    """Greedy is the argmax, the first of equals, whatever the seed and position."""
    row = logits_of()
    row[[3, 7]] = row.max() + 1
    assert {sampler(temperature=0.0, seed=s).draw(row, p).token_id for s in range(3) for p in range(3)} == {3}


def test_the_same_seed_draws_the_same_tokens() -> None:
    """A draw depends on seed, position and logits, and on no draw before it."""
    row = logits_of()
    forward = [sampler(seed=9).draw(row, position).token_id for position in range(50)]
    one = sampler(seed=9)
    backward = [one.draw(row, position).token_id for position in reversed(range(50))][::-1]
    assert forward == backward
    assert forward != [sampler(seed=10).draw(row, position).token_id for position in range(50)]
    assert len(set(forward)) > 5


def test_the_largest_seed_is_a_seed() -> None:
    """The contract's seeds are 64 bits without a sign."""
    drawn = [sampler(seed=2**64 - 1).draw(logits_of(), position).token_id for position in range(20)]
    assert drawn == [sampler(seed=2**64 - 1).draw(logits_of(), position).token_id for position in range(20)]
    assert len(set(drawn)) > 1


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_shares_follow_the_softmax_of_logits_over_temperature(temperature: float) -> None:
    """Over many draws each token comes as often as its probability says."""
    row = logits_of()
    expected = softmax(row.astype(np.float64) / temperature)
    error = np.abs(drawn({"temperature": temperature}, row) - expected)
    assert (error <= 4.5 * np.sqrt(expected * (1 - expected) / DRAWS) + 1e-9).all()


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"top_k": 1}, lambda p: kept_by_top_k(p, 1)),
        ({"top_k": 5}, lambda p: kept_by_top_k(p, 5)),
        ({"top_k": VOCAB}, lambda p: kept_by_top_k(p, VOCAB)),
        ({"top_k": 10_000}, lambda p: kept_by_top_k(p, VOCAB)),
        ({"top_p": 0.01}, lambda p: kept_by_top_p(p, 0.01)),
        ({"top_p": 0.6}, lambda p: kept_by_top_p(p, 0.6)),
        ({"min_p": 0.2}, lambda p: kept_by_min_p(p, 0.2)),
        ({"top_k": 6, "min_p": 0.1}, lambda p: kept_by_top_k(p, 6) & kept_by_min_p(p, 0.1)),
    ],
)
def test_only_what_the_settings_keep_is_drawn(
    settings: dict[str, float], kept: Callable[[NDArray[np.float64]], set[int]]
) -> None:
    """The tokens that come up are those of the formula, in the proportions of their probabilities."""
    row = logits_of(spread=1.0)
    probabilities = softmax(row.astype(np.float64))
    expected = np.zeros(VOCAB)
    tokens = sorted(kept(probabilities))
    expected[tokens] = probabilities[tokens] / probabilities[tokens].sum()
    shares = drawn(settings, row)
    assert set(np.flatnonzero(shares).tolist()) <= set(tokens)
    assert (np.abs(shares - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / DRAWS) + 1e-9).all()


def test_a_nucleus_of_thousands_is_found_without_sorting_all() -> None:
    """Where a short head does not hold the mass, a longer one is taken; the border is the formula's."""
    row = np.asarray(np.random.default_rng(3).normal(0, 1, 20_000), np.float32)
    probabilities = softmax(row.astype(np.float64))
    for top_p in (0.05, 0.5, 0.999):
        ids, weights = sampler(top_p=top_p)._candidates(row)
        assert set(ids.tolist()) == kept_by_top_p(probabilities, top_p)
        assert weights / weights.sum() == pytest.approx(probabilities[ids] / probabilities[ids].sum())


def test_top_p_counts_what_top_k_has_left() -> None:
    """Of the two best, equally probable, half the mass is the first alone."""
    row = np.zeros(VOCAB, np.float32)
    assert set(np.flatnonzero(drawn({"top_k": 2, "top_p": 0.4}, row, 200))) == {0}


@settings(max_examples=200)
@given(
    st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=40),
    st.floats(1e-3, 5),
    st.integers(0, 50),
    st.floats(1e-3, 1),
    st.floats(0, 0.999),
    st.integers(0, 1000),
)
def test_any_settings_draw_a_token_that_they_keep(
    values: list[float], temperature: float, top_k: int, top_p: float, min_p: float, position: int
) -> None:
    """Whatever is combined, one token is drawn, and it is among the top_k (ties included) and above min_p."""
    row = np.array(values, np.float32)
    one = sampler(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    token = one.draw(row, position).token_id
    if top_k:
        assert np.count_nonzero(row > row[token]) < top_k
    probabilities = softmax(row.astype(np.float64) / temperature)
    assert probabilities[token] >= min_p * probabilities.max() * (1 - 1e-9)


@pytest.mark.parametrize("temperature", [1e-45, 1e-30, 1e-6])
def test_a_tiny_temperature_is_nearly_greedy(temperature: float) -> None:
    """No overflow: the best token, every time."""
    row = logits_of()
    assert {sampler(temperature=temperature).draw(row, p).token_id for p in range(20)} == {int(row.argmax())}


def test_repetition_penalty_is_that_of_the_ctrl_paper() -> None:
    """Positive logits of seen tokens are divided, others multiplied; prompt and output both count, and once."""
    row = np.array([2.0, -2.0, 1.5, -1.5, 0.1], np.float32)
    one = sampler(0, 1, 0, repetition_penalty=2.0, temperature=0.0)
    one.accept(2)
    one.accept(2)
    assert one._penalized(row).tolist() == [1.0, -4.0, 0.75, -1.5, pytest.approx(0.1)]


def test_presence_and_frequency_penalties_are_those_of_the_openai_api() -> None:
    """mu[j] - c[j] * frequency - (c[j] > 0) * presence, where c counts the output and not the prompt."""
    row = np.zeros(5, np.float32)
    one = sampler(0, 0, presence_penalty=0.5, frequency_penalty=0.25)
    for token in (1, 2, 2, 2):
        one.accept(token)
    assert one._penalized(row).tolist() == [0.0, -0.75, -1.25, 0.0, 0.0]


def test_penalties_come_before_the_choice_and_leave_the_logits_alone() -> None:
    """The caller's row is not changed, and the choice follows the penalized scores."""
    row = np.array([1.0, 0.9, 0.0], np.float32)
    one = sampler(temperature=0.0, presence_penalty=0.5)
    assert one.draw(row, 0).token_id == 0
    one.accept(0)
    assert one.draw(row, 1).token_id == 1
    assert row.tolist() == [1.0, pytest.approx(0.9), 0.0]


@pytest.mark.parametrize("penalty", [1e-40, 1e-3, 10.0])
def test_absurd_penalties_still_draw_a_token(penalty: float) -> None:
    """The smallest numbers that the contract lets in neither warn nor raise."""
    one = sampler(0, 1, 2, repetition_penalty=penalty, presence_penalty=-2.0, frequency_penalty=-2.0)
    row = logits_of()
    for position in range(30):
        token = one.draw(row, position).token_id
        assert 0 <= token < VOCAB
        one.accept(token)


def test_logprobs_are_the_log_softmax_of_the_models_own_logits() -> None:
    """Neither temperature nor penalties nor top_k change them; the best come first."""
    row = logits_of()
    expected = np.log(softmax(row.astype(np.float64)))
    one = sampler(0, logprobs=3, temperature=2.0, top_k=2, repetition_penalty=3.0)
    report = one.draw(row, 0).logprobs
    assert report is not None
    assert report.chosen.logprob == pytest.approx(expected[report.chosen.token_id])
    best = np.argsort(-row)[:3]
    assert [entry.token_id for entry in report.top] == best.tolist()
    assert [entry.logprob for entry in report.top] == pytest.approx(expected[best].tolist())


@pytest.mark.parametrize(("asked", "given"), [(-1, None), (0, 0), (20, 20), (500, VOCAB)])
def test_as_many_alternatives_are_reported_as_were_asked_for(asked: int, given: int | None) -> None:
    """None, only the chosen one, some, and never more than there are."""
    report = sampler(logprobs=asked).draw(logits_of(), 0).logprobs
    assert (None if report is None else len(report.top)) == given


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.0}, {}, {"top_k": 3}, {"top_k": 1}, {"top_p": 0.5}, {"min_p": 0.1}]
)
@pytest.mark.parametrize("broken", [[5], list(range(10)), list(range(VOCAB))])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_numbers_are_an_error_on_every_path(
    settings: dict[str, float], broken: list[int], value: float
) -> None:
    """One NaN or infinity anywhere, however the token would be chosen."""
    row = logits_of()
    row[broken] = value
    with pytest.raises(EngineFailedError, match="not numbers"):
        sampler(**settings).draw(row, 0)


def test_tokens_that_a_model_rules_out_are_not_an_error() -> None:
    """Minus infinity is a probability of nothing, and is never drawn."""
    row = np.full(VOCAB, -np.inf, np.float32)
    row[[4, 6]] = 1.0
    assert set(np.flatnonzero(drawn({}, row, 100))) == {4, 6}


def test_a_row_without_any_possible_token_is_an_error() -> None:
    """Minus infinity everywhere leaves nothing to draw."""
    with pytest.raises(EngineFailedError):
        sampler().draw(np.full(VOCAB, -np.inf, np.float32), 0)


def test_the_request_goes_before_the_model_and_the_model_before_the_neutral_value() -> None:
    """Each setting is taken from the first who says something; 0 says something."""
    asked = SamplingParams(temperature=0.0, top_k=0, logprobs=2)
    defaults = SamplingParams(temperature=0.7, top_k=50, top_p=0.9)
    chosen = Sampling.resolve(asked, defaults, seed=5)
    assert (chosen.temperature, chosen.top_k, chosen.top_p, chosen.min_p) == (0.0, 0, 0.9, 0.0)
    assert (chosen.seed, chosen.logprobs, chosen.repetition_penalty) == (5, 2, 1.0)
