"""The text to calibrate and measure on, as windows of token ids."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np

from autoglmctl.build.host_limits import is_refusal
from autoglmd.errors.model import ModelMissingError, TokenizerError
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.model.tokenizer import load_tokenizer

DEFAULT_TEXT = "calibration_default.txt"
WINDOW_TOKENS = 512
MOST_TOKENS = 4096
"""Enough for stable scales; the keys and values of all of them are held in memory at once."""
FEWEST_TOKENS = 2
_ANY_VOCABULARY = 1 << 31


def read_text(path: Path | None) -> str:
    """Read the calibration text, or the one that ships with the tool.

    Raises:
        ModelMissingError: no such file.
        InvalidArgumentError: the file is empty or not UTF-8.
    """
    if path is None:
        return (resources.files("autoglmctl.build") / DEFAULT_TEXT).read_text(encoding="utf-8")
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ModelMissingError(f"The calibration file {path} is not there.") from error
    except UnicodeDecodeError as error:
        raise InvalidArgumentError("calibration", f"{path} is not UTF-8 text: {error}.") from error
    if not text.strip():
        raise InvalidArgumentError("calibration", f"{path} is empty. Give text like what the model will see.")
    return text


def tokenize(folder: Path, text: str) -> np.ndarray:
    """Return the token ids of `text`, int64 `[tokens]`, by the tokenizer in `folder`.

    Raises:
        TokenizerError: the tokenizer cannot be read.
    """
    try:
        ids = _encode(folder, text)
    except Exception as error:
        if is_refusal(error):
            raise
        raise TokenizerError(f"The tokenizer in {folder} cannot be read: {error}") from error
    return np.asarray(ids, dtype=np.int64)


def windows(ids: np.ndarray, context_length: int, vocabulary: int) -> list[np.ndarray]:
    """Cut ids into windows of at most `WINDOW_TOKENS`, `MOST_TOKENS` in all.

    Raises:
        InvalidArgumentError: the text gives less than two tokens.
        TokenizerError: an id is outside the model's vocabulary.
    """
    if ids.size < FEWEST_TOKENS:
        raise InvalidArgumentError("calibration", f"the text gives {ids.size} tokens; at least 2 are needed.")
    if ids.max() >= vocabulary:
        raise TokenizerError(
            f"The tokenizer gives id {ids.max()}, the model's vocabulary has {vocabulary}. Not its tokenizer?"
        )
    length = min(WINDOW_TOKENS, context_length)
    cut = [ids[start : start + length] for start in range(0, min(ids.size, MOST_TOKENS), length)]
    return [window for window in cut if window.size >= FEWEST_TOKENS]


def _encode(folder: Path, text: str) -> list[int]:
    # The daemon's own: where a folder has two tokenizers it takes the same one, and begins prompts in the same way.
    tokenizer, _ = load_tokenizer(folder, _ANY_VOCABULARY)
    return tokenizer.encode(text, add_prefix=True)
