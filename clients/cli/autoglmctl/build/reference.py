"""Transformers as the reference: whether the exported graph computes what the checkpoint means."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoglmctl.build.runner import GraphRunner
from autoglmd.errors.model import ModelUnsupportedError

TOKENS = 128
LIMIT = 1e-3
"""Largest relative root mean square error of the logits. Both sides compute in float32, whatever the checkpoint's
type: 16-bit rounding would hide an export that is a little wrong."""


def check_against_transformers(checkpoint: Path, float_folder: Path, ids: np.ndarray) -> float:
    """Run the first tokens of `ids` in both; return the relative error of the float graph's logits.

    Raises:
        ModelUnsupportedError: they disagree; the builder does not get this model right.
    """
    window = ids[:TOKENS]
    expected = _transformers_logits(checkpoint, window)
    logits = GraphRunner(float_folder, 0, pack=False).logits(window)
    centred = expected - expected.mean(axis=1, keepdims=True)
    error = float(np.sqrt(np.square(logits - expected).mean() / np.square(centred).mean()))
    if not error < LIMIT:
        raise ModelUnsupportedError(
            f"The exported graph is not the model: its logits are {100 * error:.2f} % off those of transformers "
            f"(at most {100 * LIMIT:.1f} % can be rounding). onnxruntime-genai's builder does not get it right."
        )
    return error


def _transformers_logits(checkpoint: Path, ids: np.ndarray) -> np.ndarray:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # the build has its own
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    with torch.no_grad():
        logits: np.ndarray = model(torch.tensor(ids[None])).logits[0].numpy()
    return logits
