"""Muon and AdamW over FP32 masters of bfloat16 weights: the CPU computes in bfloat16, nothing is lost between steps.

Muon (K. Jordan et al., 2024) turns the matrices inside the layers; AdamW the embedding and the norms. It was chosen
over AdamW alone after one short run of each (75 steps, one seed, AdamW at this file's peak rate only); neither was
tuned, and a step with Muon takes longer.
"""

import math
from typing import Any

import torch

PEAK_RATE = 1.5e-3
MUON_RATE_SCALE = 2.0
FINAL_RATE_SHARE = 0.01
STEADY_SHARE = 0.3
WARM_UP_STEPS = 50
WEIGHT_DECAY = 0.1
LARGEST_NORM = 1.0
_EMBEDDING = "embed_tokens"


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
        named = dict(model.named_parameters())
        self._working = list(named.values())
        self._masters = [weights.detach().float().clone() for weights in self._working]
        model.bfloat16()
        masters = dict(zip(named, self._masters, strict=True))
        self._optimizers = _optimizers(masters)

    def step(self, rate: float) -> float:
        """Apply the gradients of the working weights, clear them and return their norm."""
        for master, working in zip(self._masters, self._working, strict=True):
            master.grad = None if working.grad is None else working.grad.float()
            working.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self._masters, LARGEST_NORM)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["rate_scale"]
            optimizer.step()
        self._publish()
        return float(norm)

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, for torch.save."""
        return {"masters": self._masters, "optimizers": [optimizer.state_dict() for optimizer in self._optimizers]}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state that state() returned."""
        for master, saved in zip(self._masters, state["masters"], strict=True):
            master.copy_(saved)
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._publish()

    def _publish(self) -> None:
        with torch.no_grad():
            for master, working in zip(self._masters, self._working, strict=True):
                working.copy_(master)


def _optimizers(masters: dict[str, torch.Tensor]) -> list[torch.optim.Optimizer]:
    embedding = [master for name, master in masters.items() if _EMBEDDING in name]
    vectors = [master for master in masters.values() if master.ndim == 1]
    hidden = [master for name, master in masters.items() if master.ndim == 2 and _EMBEDDING not in name]
    groups = [
        {"params": embedding, "weight_decay": WEIGHT_DECAY, "rate_scale": 1.0},
        {"params": vectors, "weight_decay": 0.0, "rate_scale": 1.0},
    ]
    adam = torch.optim.AdamW([group for group in groups if group["params"]], betas=(0.9, 0.98), eps=1e-9, fused=True)
    inner = [{"params": hidden, "rate_scale": MUON_RATE_SCALE}]
    return [adam, torch.optim.Muon(inner, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")]
