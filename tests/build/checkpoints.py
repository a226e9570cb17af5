"""Tiny random checkpoints of the architectures that the tests build from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoglmctl.build.options import Scheme
from autoglmctl.build.text import tokenize
from tests.support.make_tiny_models import SHAPE, TEXT, make_checkpoint, write_tokenizer

ARCHITECTURES = ("glm", "glm4", "llama", "qwen2")
SCHEMES = (Scheme.GROUPS, Scheme.PER_TOKEN)
TOKENS = 61
EVEN = SHAPE | {"max_position_embeddings": 128}
ODD = EVEN | {
    "hidden_size": 72,
    "intermediate_size": 152,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
}
"""Dimensions that no group size divides: 72 and 152 are not even multiples of 16."""
ODD_HEAD = {"glm": 16, "glm4": 48, "llama": 48, "qwen2": 80}
"""Head sizes that are no power of two, or (Glm) whose rotary half, 8 or 24, is not the multiple of 16 that the
attention operator wants."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder and what transformers computes with it."""

    folder: Path
    ids: np.ndarray
    """int64 `[tokens]`"""
    logits: np.ndarray
    """float32 `[tokens, vocabulary]`"""


def make(folder: Path, model_type: str, shape: dict[str, Any]) -> Checkpoint:
    """Write a checkpoint with a sentencepiece tokenizer and run it once in transformers."""
    make_checkpoint(model_type, shape, folder)
    write_tokenizer("sentencepiece", folder)
    ids = tokenize(folder, TEXT)[:TOKENS]
    return Checkpoint(folder, ids, transformers_logits(folder, ids))


def transformers_logits(folder: Path, ids: np.ndarray) -> np.ndarray:
    """Run `ids` through the checkpoint in transformers, float32."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return np.asarray(model(torch.tensor(ids[None])).logits[0].numpy())
