"""Transformers as the reference: whether the exported graph computes what the checkpoint means."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoglmctl.build.runner import GraphRunner
from autoglmd.errors import ModelUnsupportedError

TOKENS = 128
LIMIT_FLOAT32, LIMIT_FLOAT16 = 1e-3, 0.1
"""Largest relative root mean square error of the logits. A 16-bit checkpoint is run in 16 bits, to spare memory: what
is wrong with an export (rotation, norms, scales) is far beyond its rounding."""


def check_against_transformers(checkpoint: Path, float_folder: Path, ids: np.ndarray) -> float:
    """Run the first tokens of `ids` in both; return the relative error of the float graph's logits.

    Raises:
        ModelUnsupportedError: they disagree; the builder does not get this model right.
    """
    window = ids[:TOKENS]
    expected, limit = _transformers_logits(checkpoint, window)
    logits = GraphRunner(float_folder, 0, pack=False).logits(window)
    centred = expected - expected.mean(axis=1, keepdims=True)
    error = float(np.sqrt(np.square(logits - expected).mean() / np.square(centred).mean()))
    if not error < limit:
        raise ModelUnsupportedError(
            f"The exported graph is not the model: its logits are {100 * error:.2f} % off those of transformers "
            f"(at most {100 * limit:.1f} % can be rounding). onnxruntime-genai's builder does not get it right."
        )
    return error


def _transformers_logits(checkpoint: Path, ids: np.ndarray) -> tuple[np.ndarray, float]:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto").eval()
    with torch.no_grad():
        logits = model(torch.tensor(ids[None])).logits[0].float().numpy()
    return logits, LIMIT_FLOAT32 if model.dtype == torch.float32 else LIMIT_FLOAT16
