"""Random-weight Hugging Face checkpoints of the benchmarks' shapes (needs the extra `[build]`).

    python benchmarks/checkpoints.py llama-0.43b OUT

Speed does not depend on what the weights are; every implementation is measured on the same ones.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEED = 20260801
SHARD_SIZE = "2GB"
_COMMON: dict[str, Any] = {
    "max_position_embeddings": 4096,
    "initializer_range": 0.02,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}


@dataclass(frozen=True)
class Shape:
    """One model shape, as transformers' configuration takes it."""

    model_type: str
    config: dict[str, Any]


SHAPES = {
    "llama-0.43b": Shape(
        "llama",
        {
            "vocab_size": 32000,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "num_key_value_heads": 4,
            "head_dim": 64,
        },
    ),
    "llama-tiny": Shape(
        "llama",
        {
            "vocab_size": 2048,
            "hidden_size": 256,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "head_dim": 32,
        },
    ),
    "glm-edge-1.5b": Shape(
        "glm",
        {
            "vocab_size": 59264,
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 4,
            "head_dim": 128,
        },
    ),
}


def make_checkpoint(shape: Shape, folder: Path) -> None:
    """Write a bfloat16 checkpoint of `shape`, with seeded random weights and a tokenizer, into `folder`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(SEED)
    config = AutoConfig.for_model(shape.model_type, **_COMMON | shape.config)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size=SHARD_SIZE)
    write_tokenizer(folder, shape.config["vocab_size"])


def write_tokenizer(folder: Path, vocabulary: int) -> None:
    """Write a byte-level tokenizer.json in which every id up to `vocabulary` has a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    specials = ["<unk>", "<s>", "</s>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    named = [*specials, *alphabet]
    words = [f"Ġw{number}" for number in range(vocabulary - len(named))]
    vocab = {token: number for number, token in enumerate([*named, *words])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Parse the command line and write one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    make_checkpoint(SHAPES[arguments.shape], arguments.out)


if __name__ == "__main__":
    main()
