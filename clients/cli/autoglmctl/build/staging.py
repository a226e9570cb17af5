"""A view of the source folder that the model builder can read."""

from __future__ import annotations

import json
from pathlib import Path

from autoglmctl.build.source import TOKENIZER_FILES, Source

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
    config = dict(source.config)
    if context_length is not None:
        config["max_position_embeddings"] = min(context_length, config["max_position_embeddings"])
    _write(folder / "config.json", config)
    _write(folder / "tokenizer.json", _PLACEHOLDER)
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"})


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
