"""The learning rate's course, and masters that keep what bfloat16 would lose."""

from typing import Any

import pytest
import torch

from models.glm_small.optimizer import (
    FINAL_RATE_SHARE,
    PEAK_RATE,
    STEADY_SHARE,
    WARM_UP_STEPS,
    MasterWeights,
    learning_rate,
)

pytestmark = pytest.mark.build


def test_the_rate_rises_stays_and_falls() -> None:
    """Warm-up ends at the peak, the cosine at its final share."""
    steps = 1000
    rates = [learning_rate(step, steps) for step in range(steps + 1)]
    assert rates[0] < rates[WARM_UP_STEPS - 1] == pytest.approx(PEAK_RATE)
    assert all(rate == pytest.approx(PEAK_RATE) for rate in rates[WARM_UP_STEPS : int(steps * STEADY_SHARE)])
    assert rates[-1] == pytest.approx(PEAK_RATE * FINAL_RATE_SHARE)


def test_a_run_may_be_shortened_while_the_rate_is_steady() -> None:
    """Up to the shorter run's steady share, both runs have the same rates."""
    common = range(int(400 * STEADY_SHARE))
    assert [learning_rate(step, 400) for step in common] == [learning_rate(step, 900) for step in common]


def test_steps_too_small_for_bfloat16_add_up() -> None:
    """Many small steps move the weights, though each alone would round away."""
    tiny = _tiny()
    torch.nn.init.constant_(tiny["embed_tokens"].weight, 100.0)
    weights = MasterWeights(tiny)
    for _ in range(200):
        _step(tiny, weights, rate=0.01)
    assert tiny["embed_tokens"].weight.max().item() < 99.0


def test_every_weight_is_learned_by_one_of_the_optimizers() -> None:
    """Embedding, matrices and vectors all move in a step."""
    tiny = _tiny()
    before = [weights.detach().float().clone() for weights in tiny.parameters()]
    weights = MasterWeights(tiny)
    _step(tiny, weights)
    after = weights.state()["masters"]
    assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_a_restored_optimizer_goes_on_as_if_nothing_had_happened() -> None:
    """State saved and restored gives the same next step."""
    expected, interrupted = _stepped(2), _stepped(1)
    tiny = _tiny()
    restored = MasterWeights(tiny)
    restored.restore(interrupted.state())
    _step(tiny, restored)
    for wanted, got in zip(expected.state()["masters"], restored.state()["masters"], strict=True):
        assert torch.equal(wanted, got)


def _tiny() -> Any:
    """An embedding, a matrix and a norm: one of each kind that the optimizers tell apart."""
    torch.manual_seed(3)
    parts = {"embed_tokens": torch.nn.Embedding(3, 4), "inner": torch.nn.Linear(4, 4, bias=False)}
    return torch.nn.ModuleDict(parts | {"norm": torch.nn.RMSNorm(4)})


def _stepped(steps: int) -> MasterWeights:
    tiny = _tiny()
    weights = MasterWeights(tiny)
    for _ in range(steps):
        _step(tiny, weights)
    return weights


def _step(tiny: Any, weights: MasterWeights, rate: float = 0.1) -> None:
    embedded = tiny["embed_tokens"].weight
    torch.autograd.backward((tiny["norm"](tiny["inner"](embedded)) + embedded).square().sum())
    weights.step(rate)
