"""A view of the source folder that the model builder can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autoglmctl.build.source import TOKENIZER_FILES, Source
from autoglmd.errors.model import ModelUnsupportedError
from autoglmd.errors.request import InvalidArgumentError

POSITIONS = "max_position_embeddings"

_PLACEHOLDER = {
    "version": "1.0",
    "added_tokens": [],
    "model": {"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"},
}
"""A tokenizer that any transformers can load. The real files are copied at the end."""


def stage(source: Source, folder: Path, context_length: int | None) -> None:
    """Link `source`'s weights into `folder`, with a tokenizer that loads and the context length asked for.

    The builder insists on loading the tokenizer, and transformers cannot load every bare sentencepiece model;
    we only copy those files.
    """
    folder.mkdir()
    for path in source.folder.iterdir():
        if path.name not in (*TOKENIZER_FILES, "config.json"):
            (folder / path.name).symlink_to(path.resolve())
    generation = source.folder / "generation_config.json"
    if generation.is_file():
        (folder / generation.name).symlink_to(generation.resolve())
    _write(folder / "config.json", _shortened(source.config, folder, context_length))
    _write(folder / "tokenizer.json", _PLACEHOLDER)
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"})


def _shortened(config: dict[str, Any], folder: Path, context_length: int | None) -> dict[str, Any]:
    """Return `config` with at most `context_length` positions.

    A configuration that leaves its positions out means the default of its architecture, which transformers knows.
    """
    if context_length is None:
        return config
    return config | {POSITIONS: min(context_length, config.get(POSITIONS) or _default_positions(config, folder))}


def _default_positions(config: dict[str, Any], folder: Path) -> int:
    from transformers import AutoConfig

    _write(folder / "config.json", config)
    try:
        known = getattr(AutoConfig.from_pretrained(folder), POSITIONS, None)
    except (ValueError, KeyError) as error:
        raise ModelUnsupportedError(f"The checkpoint's config.json cannot be read by transformers: {error}") from error
    if not isinstance(known, int):
        raise InvalidArgumentError(
            "context_length", f"the checkpoint's config.json has no {POSITIONS} that could be lowered. Leave it out."
        )
    return known


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
