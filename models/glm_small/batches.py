"""Training batches: a pure function of seed and pool number, so that a run resumes where it stopped."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt
from sentencepiece import SentencePieceProcessor

from models.glm_small.chat import IGNORED_LABEL, labelled
from models.glm_small.corpus import Corpus

BATCH_TOKENS = 2048
BATCHES_PER_POOL = 16

_LONGEST_TOKENS = 2048
_LONG_SHARE = 1 / 16
_SYSTEM_SHARE = 0.04
_TURN_COUNTS, _TURN_WEIGHTS = (1, 2, 3, 5), (70, 16, 9, 5)
_SYSTEM_TEXTS = (
    "你是一个智能家居助手。",
    "你是 Open-AutoGLM。",
    "请把用户的话变成设备指令。",
    "You are a helpful assistant.",
    "You are a smart home assistant. Answer with JSON.",
    "You are Open-AutoGLM.",
)

Ids = npt.NDArray[np.int64]
_Row = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Batch:
    """Token ids and next-token labels, both int64 [rows, tokens]; padding has IGNORED_LABEL."""

    ids: Ids
    labels: Ids


def batches(vocabulary: SentencePieceProcessor, seed: int, first: int, count: int) -> Iterator[Batch]:
    """Batches number first to first + count - 1 of the endless run that belongs to the seed."""
    number = first
    while number < first + count:
        pool, offset = divmod(number, BATCHES_PER_POOL)
        ready = _pool(vocabulary, f"{seed}/{pool}")[offset : offset + first + count - number]
        number += len(ready)
        yield from ready


def _pool(vocabulary: SentencePieceProcessor, seed: str) -> list[Batch]:
    # Rows of a batch are about equally long, so that little is padding; the batches themselves are shuffled.
    rng = Random(f"glm-small/pool/{seed}")
    corpus = Corpus(seed)
    long_batches = round(BATCHES_PER_POOL * _LONG_SHARE)
    made = [_long_batch(vocabulary, corpus, rng) for _ in range(long_batches)]
    rows: list[_Row] = []
    while sum(len(ids) for ids, _ in rows) < BATCH_TOKENS * (BATCHES_PER_POOL - long_batches):
        rows.append(_row(vocabulary, corpus, rng))
    made += _cut(sorted(rows, key=lambda row: len(row[0])), BATCHES_PER_POOL - long_batches)
    rng.shuffle(made)
    return made


def _row(vocabulary: SentencePieceProcessor, corpus: Corpus, rng: Random) -> _Row:
    system = rng.choice(_SYSTEM_TEXTS) if rng.random() < _SYSTEM_SHARE else ""
    return labelled(vocabulary, corpus.conversation(rng.choices(_TURN_COUNTS, _TURN_WEIGHTS)[0]), system)


def _long_batch(vocabulary: SentencePieceProcessor, corpus: Corpus, rng: Random) -> Batch:
    # Long conversations: rotary distances that a session of a few hundred turns will meet must not be new.
    tokens = rng.choice((512, 1024, _LONGEST_TOKENS))
    rows = [labelled(vocabulary, corpus.conversation(tokens // 20)) for _ in range(BATCH_TOKENS // tokens)]
    return _padded([(ids[:tokens], labels[:tokens]) for ids, labels in rows])


def _cut(rows: list[_Row], count: int) -> list[Batch]:
    """Divide rows, sorted by length, into a number of batches of about equally many tokens."""
    total, spent = sum(len(ids) for ids, _ in rows), 0
    groups: list[list[_Row]] = [[] for _ in range(count)]
    for row in rows:
        groups[min(count - 1, spent * count // total)].append(row)
        spent += len(row[0])
    return [_padded(group) for group in groups]


def _padded(rows: list[_Row]) -> Batch:
    longest = max(len(ids) for ids, _ in rows) - 1
    ids = np.zeros((len(rows), longest), np.int64)
    labels = np.full((len(rows), longest), IGNORED_LABEL, np.int64)
    for number, (row_ids, row_labels) in enumerate(rows):
        ids[number, : len(row_ids) - 1] = row_ids[:-1]
        labels[number, : len(row_labels) - 1] = row_labels[1:]
    return Batch(ids, labels)
