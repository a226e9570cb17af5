"""AdamW over FP32 masters of bfloat16 weights: the CPU computes in bfloat16, nothing is lost between steps."""

import math
from typing import Any

import torch

PEAK_RATE = 1.5e-3
STEADY_SHARE = 0.5
FINAL_RATE_SHARE = 0.02
WARM_UP_STEPS = 100
WEIGHT_DECAY = 0.1
LARGEST_NORM = 1.0


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, the peak for STEADY_SHARE of the steps, then a cosine down to FINAL_RATE_SHARE of it.

    The steady part does not depend on the number of steps: a run may be made shorter while it lasts.
    """
    if step < WARM_UP_STEPS:
        return PEAK_RATE * (step + 1) / WARM_UP_STEPS
    progress = (step / steps - STEADY_SHARE) / (1 - STEADY_SHARE)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))
    return PEAK_RATE * (FINAL_RATE_SHARE + (1 - FINAL_RATE_SHARE) * cosine)


class MasterWeights:
    """Owns the FP32 masters and the optimizer state of a model that computes in bfloat16.

    The model is given in FP32 and becomes bfloat16 here.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._working = list(model.parameters())
        self._masters = [weights.detach().float().clone() for weights in self._working]
        model.bfloat16()
        matrices = [master for master in self._masters if master.ndim > 1]
        vectors = [master for master in self._masters if master.ndim == 1]
        groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
        self._adam = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98), eps=1e-9, fused=True)

    def step(self, rate: float) -> float:
        """Apply the gradients of the working weights, clear them and return their norm."""
        for master, working in zip(self._masters, self._working, strict=True):
            master.grad = None if working.grad is None else working.grad.float()
            working.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self._masters, LARGEST_NORM)
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        self._publish()
        return float(norm)

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, for torch.save."""
        return {"masters": self._masters, "adam": self._adam.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state that state() returned."""
        for master, saved in zip(self._masters, state["masters"], strict=True):
            master.copy_(saved)
        self._adam.load_state_dict(state["adam"])
        self._publish()

    def copy_into(self, model: torch.nn.Module) -> None:
        """Write the masters into a model of the same shape, in whatever precision that has."""
        with torch.no_grad():
            for master, weights in zip(self._masters, model.parameters(), strict=True):
                weights.copy_(master)

    def _publish(self) -> None:
        with torch.no_grad():
            for master, working in zip(self._masters, self._working, strict=True):
                working.copy_(master)
