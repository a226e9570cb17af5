"""What training never sees: whole sentence patterns and whole combinations, chosen by hash."""

import hashlib
from functools import lru_cache
from typing import Literal

HELD_OUT_PER_MILLE = 100
DEVELOPMENT_PER_MILLE = 50
_SALT = 20331523  # chosen so that everyday sentences, those of the README among them, are trained

Split = Literal["train", "combination", "pattern", "both"]
Stage = Literal["test", "development"]
"""Which of two disjoint sets of held-out keys: the test is judged once, development is what training is watched by."""
Fate = Literal["train"] | Stage
EVALUATION_SPLITS: tuple[Split, ...] = ("combination", "pattern", "both")


@lru_cache(maxsize=1 << 16)
def fate(key: str) -> Fate:
    """Where a pattern or a combination belongs; depends on the key only."""
    digest = hashlib.sha256(f"glm-small/{_SALT}/{key}".encode()).digest()
    number = int.from_bytes(digest[:8], "big") % 1000
    if number < HELD_OUT_PER_MILLE:
        return "test"
    return "development" if number < HELD_OUT_PER_MILLE + DEVELOPMENT_PER_MILLE else "train"


def wants_held_out_pattern(split: Split) -> bool:
    """Whether examples of this split use patterns that training never sees."""
    return split in ("pattern", "both")


def wants_held_out_combination(split: Split) -> bool:
    """Whether examples of this split use combinations that training never sees."""
    return split in ("combination", "both")
