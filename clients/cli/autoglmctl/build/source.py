"""The Hugging Face folder that a model is built from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoglmd.errors.model import ModelCorruptError, ModelMissingError, ModelUnsupportedError, TokenizerError

TOKENIZERS = ("tokenizer.model", "tokenizer.json")
"""What the daemon reads: a sentencepiece model or a Hugging Face tokenizer; one must be there."""
TOKENIZER_FILES = (
    *TOKENIZERS,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "generation_config.json",
)
"""Copied byte for byte."""


@dataclass(frozen=True)
class Source:
    """A checkpoint folder that has the parts it needs."""

    folder: Path
    config: dict[str, Any]

    @property
    def architecture(self) -> str:
        """The class name in transformers, such as `GlmForCausalLM`."""
        return str(self.config["architectures"][0])

    @property
    def tokenizer_files(self) -> list[Path]:
        """The files that belong to the tokenizer."""
        return [self.folder / name for name in TOKENIZER_FILES if (self.folder / name).is_file()]


def open_source(folder: Path) -> Source:
    """Check that `folder` holds a checkpoint.

    Raises:
        ModelMissingError: no such folder, no config.json or no weights.
        ModelCorruptError: config.json is not a JSON object.
        ModelUnsupportedError: config.json names no architecture.
        TokenizerError: there is no tokenizer.
    """
    if not folder.is_dir():
        raise ModelMissingError(f"{folder} is not a folder. Give a Hugging Face checkpoint's folder.")
    config = _read_config(folder)
    if not config.get("architectures"):
        raise ModelUnsupportedError(f"{folder / 'config.json'} names no architecture in `architectures`.")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise ModelMissingError(f"{folder} has no weights: no *.safetensors and no pytorch_model*.bin.")
    if not any((folder / name).is_file() for name in (*TOKENIZERS, "vocab.json")):
        raise TokenizerError(f"{folder} has no tokenizer: neither {' nor '.join(TOKENIZERS)} is there.")
    return Source(folder, config)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelMissingError(f"{path} is not there. Is this a Hugging Face checkpoint?") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelCorruptError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelCorruptError(f"{path} holds {type(config).__name__}, not an object.")
    return config
