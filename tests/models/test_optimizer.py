"""The learning rate's course, and masters that keep what bfloat16 would lose."""

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
    assert set(rates[WARM_UP_STEPS : int(steps * STEADY_SHARE)]) == {pytest.approx(PEAK_RATE)}
    assert rates[-1] == pytest.approx(PEAK_RATE * FINAL_RATE_SHARE)


def test_a_run_may_be_shortened_while_the_rate_is_steady() -> None:
    """Up to the shorter run's steady share, both runs have the same rates."""
    assert [learning_rate(step, 400) for step in range(200)] == [learning_rate(step, 900) for step in range(200)]


def test_steps_too_small_for_bfloat16_add_up() -> None:
    """Many small steps move the weights, though each alone would round away."""
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 100.0)
    weights = MasterWeights(layer)
    for _ in range(200):
        layer.weight.grad = torch.ones_like(layer.weight)
        weights.step(rate=0.01)
    assert layer.weight.item() < 99.0


def test_a_restored_optimizer_goes_on_as_if_nothing_had_happened() -> None:
    """State saved and restored gives the same next step."""
    first, second = _stepped(2), _stepped(1)
    layer = torch.nn.Linear(2, 2)
    restored = MasterWeights(layer)
    restored.restore(second.state())
    _step(layer, restored)
    for expected, got in zip(first.state()["masters"], restored.state()["masters"], strict=True):
        assert torch.equal(expected, got)


def _stepped(steps: int) -> MasterWeights:
    torch.manual_seed(3)
    layer = torch.nn.Linear(2, 2)
    weights = MasterWeights(layer)
    for _ in range(steps):
        _step(layer, weights)
    return weights


def _step(layer: torch.nn.Linear, weights: MasterWeights) -> None:
    torch.autograd.backward(layer(torch.ones(1, 2, dtype=torch.bfloat16)).square().sum())
    weights.step(rate=0.1)
