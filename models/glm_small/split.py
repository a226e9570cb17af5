"""What training never sees: whole sentence patterns and whole combinations, chosen by hash."""

import hashlib
from functools import lru_cache
from typing import Literal

HELD_OUT_PER_MILLE = 100
_SALT = 4175  # chosen so that the sentences of the README are trained, not held out

Split = Literal["train", "combination", "pattern", "both"]
EVALUATION_SPLITS: tuple[Split, ...] = ("combination", "pattern", "both")


@lru_cache(maxsize=1 << 16)
def held_out(key: str) -> bool:
    """Whether a pattern or a combination belongs to the evaluation alone; depends on the key only."""
    digest = hashlib.sha256(f"glm-small/{_SALT}/{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 1000 < HELD_OUT_PER_MILLE


def wants_held_out_pattern(split: Split) -> bool:
    """Whether examples of this split use patterns that training never sees."""
    return split in ("pattern", "both")


def wants_held_out_combination(split: Split) -> bool:
    """Whether examples of this split use combinations that training never sees."""
    return split in ("combination", "both")
