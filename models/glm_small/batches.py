"""Training batches: a pure function of seed and pool number, so that a run resumes where it stopped."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt
from sentencepiece import SentencePieceProcessor

from models.glm_small.chat import IGNORED_LABEL, labelled
from models.glm_small.corpus import Corpus

BATCH_TOKENS = 4096
ROW_TOKENS = 256
BATCHES_PER_POOL = 16

_LONGEST_TOKENS = 2048
_LONG_SHARE = 1 / 16
_SYSTEM_SHARE = 0.04
_TURN_COUNTS, _TURN_WEIGHTS = (1, 2, 3, 5), (60, 22, 12, 6)
_SYSTEM_TEXTS = (
    "你是一个智能家居助手。",
    "你是 Open-AutoGLM。",
    "请把用户的话变成设备指令。",
    "You are a helpful assistant.",
    "You are a smart home assistant. Answer with JSON.",
    "You are Open-AutoGLM.",
)

Ids = npt.NDArray[np.int64]
_Row = list[tuple[list[int], list[int]]]


@dataclass(frozen=True)
class Batch:
    """Token ids, next-token labels and positions, all int64 [rows, tokens]; padding has IGNORED_LABEL.

    A row holds several conversations; where one begins, positions begin at 0 again, and attention does not cross.
    """

    ids: Ids
    labels: Ids
    positions: Ids


def batches(vocabulary: SentencePieceProcessor, seed: int, first: int, count: int) -> Iterator[Batch]:
    """Batches number first to first + count - 1 of the endless run that belongs to the seed."""
    number = first
    while number < first + count:
        pool, offset = divmod(number, BATCHES_PER_POOL)
        ready = _pool(vocabulary, f"{seed}/{pool}")[offset : offset + first + count - number]
        number += len(ready)
        yield from ready


def _pool(vocabulary: SentencePieceProcessor, seed: str) -> list[Batch]:
    rng = Random(f"glm-small/pool/{seed}")
    corpus = Corpus(seed)
    long_batches = round(BATCHES_PER_POOL * _LONG_SHARE)
    made = [_long_batch(vocabulary, corpus, rng) for _ in range(long_batches)]
    per_batch = BATCH_TOKENS // ROW_TOKENS
    rows = _packed(vocabulary, corpus, rng, (BATCHES_PER_POOL - long_batches) * per_batch)
    rng.shuffle(rows)
    made += [_batch(rows[start : start + per_batch], ROW_TOKENS) for start in range(0, len(rows), per_batch)]
    rng.shuffle(made)
    return made


def _packed(vocabulary: SentencePieceProcessor, corpus: Corpus, rng: Random, count: int) -> list[_Row]:
    """Fill a number of rows with whole conversations, the longest first, so that little is left over."""
    room, drawn = count * ROW_TOKENS, []
    while room > 0:
        drawn.append(_conversation(vocabulary, corpus, rng))
        room -= len(drawn[-1][0]) - 1
    rows: list[_Row] = [[] for _ in range(count)]
    left = [ROW_TOKENS] * count
    for each in sorted(drawn, key=lambda conversation: -len(conversation[0])):
        tightest = min(
            (number for number in range(count) if left[number] >= len(each[0]) - 1), key=left.__getitem__, default=None
        )
        if tightest is not None:
            rows[tightest].append(each)
            left[tightest] -= len(each[0]) - 1
    return rows


def _conversation(vocabulary: SentencePieceProcessor, corpus: Corpus, rng: Random) -> tuple[list[int], list[int]]:
    system = rng.choice(_SYSTEM_TEXTS) if rng.random() < _SYSTEM_SHARE else ""
    return labelled(vocabulary, corpus.conversation(rng.choices(_TURN_COUNTS, _TURN_WEIGHTS)[0]), system)


def _long_batch(vocabulary: SentencePieceProcessor, corpus: Corpus, rng: Random) -> Batch:
    # Long conversations: rotary distances that a session of many turns will meet must not be new.
    tokens = rng.choice((512, 1024, _LONGEST_TOKENS))
    long = [labelled(vocabulary, corpus.conversation(tokens // 20)) for _ in range(BATCH_TOKENS // tokens)]
    return _batch([[(ids[: tokens + 1], labels[: tokens + 1])] for ids, labels in long], tokens)


def _batch(rows: list[_Row], tokens: int) -> Batch:
    ids = np.zeros((len(rows), tokens), np.int64)
    labels = np.full((len(rows), tokens), IGNORED_LABEL, np.int64)
    positions = np.zeros((len(rows), tokens), np.int64)
    for number, row in enumerate(rows):
        at = 0
        for row_ids, row_labels in row:
            end = at + len(row_ids) - 1
            ids[number, at:end], labels[number, at:end] = row_ids[:-1], row_labels[1:]
            positions[number, at:end] = np.arange(end - at)
            at = end
        positions[number, at:] = np.arange(tokens - at)
    return Batch(ids, labels, positions)
