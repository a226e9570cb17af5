"""The tokenizer's files in the built model, and what they say about the end of a turn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from autoglmctl.build.host_limits import is_refusal
from autoglmctl.build.source import TOKENIZERS, Source
from autoglmd.errors.model import TokenizerError


def copy_tokenizer(source: Source, output: Path) -> None:
    """Copy the tokenizer byte for byte; make a tokenizer.json where there are only vocab.json and merges.txt.

    Raises:
        TokenizerError: there is only an old format, and transformers cannot convert it.
    """
    for path in source.tokenizer_files:
        shutil.copyfile(path, output / path.name)
    if not any((output / name).is_file() for name in TOKENIZERS):
        _convert_old_format(source, output)


def end_of_turn_ids(folder: Path) -> list[int]:
    """Return the id of `eos_token` in tokenizer_config.json, if it is named there and known.

    Chat models end a turn with it, while config.json often names only the end of a text.
    """
    settings = _read_json(folder / "tokenizer_config.json")
    token = settings.get("eos_token")
    content = token.get("content") if isinstance(token, dict) else token
    added = [(int(number), entry) for number, entry in settings.get("added_tokens_decoder", {}).items()]
    added += [(entry["id"], entry) for entry in _read_json(folder / "tokenizer.json").get("added_tokens", [])]
    return sorted({number for number, entry in added if entry.get("content") == content})


def _convert_old_format(source: Source, output: Path) -> None:
    from transformers import AutoTokenizer

    try:
        AutoTokenizer.from_pretrained(source.folder, token=None).save_pretrained(output)
    except Exception as error:
        if is_refusal(error):
            raise
        raise TokenizerError(f"The tokenizer in {source.folder} cannot be converted: {error}") from error
    if not (output / "tokenizer.json").is_file():
        raise TokenizerError(f"The tokenizer in {source.folder} has no tokenizer.json and gives none.")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
