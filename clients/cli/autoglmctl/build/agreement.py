"""How near a built graph is to FP32, and whether rows keep to themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from autoglmctl.build.report import Agreement
from autoglmctl.build.runner import GraphRunner

INVARIANCE_TOKENS = (1, 2, 9)
INVARIANCE_ROWS = 3


@dataclass
class _Sums:
    """Running totals over positions; one owner, `compare`."""

    positions: int = 0
    predicted: int = 0
    absolute: float = 0.0
    values: int = 0
    largest: float = 0.0
    squared: float = 0.0
    spread: float = 0.0
    agreeing: int = 0
    divergence: float = 0.0
    float_loss: float = 0.0
    built_loss: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """What `compare` found."""

    agreement: Agreement
    float_perplexity: float
    built_perplexity: float


def compare(
    reference: Iterable[np.ndarray], built: GraphRunner, windows: list[np.ndarray], progress: Callable[[float], None]
) -> Comparison:
    """Run `built`, which must give every position's logits, over `windows` of ids, int64 `[tokens]`.

    `reference` gives FP32's logits, float32 `[tokens, vocabulary]`, window by window.
    """
    sums = _Sums()
    for number, (window, expected) in enumerate(zip(windows, reference, strict=True)):
        _add(sums, window, expected, built.logits(window))
        progress((number + 1) / len(windows))
    agreement = Agreement(
        positions=sums.positions,
        logit_error_mean=sums.absolute / sums.values,
        logit_error_max=sums.largest,
        logit_error_relative=float(np.sqrt(sums.squared / sums.spread)),
        greedy_agreement=sums.agreeing / sums.positions,
        divergence=sums.divergence / sums.positions,
    )
    float_loss, built_loss = sums.float_loss / sums.predicted, sums.built_loss / sums.predicted
    return Comparison(agreement, float(np.exp(float_loss)), float(np.exp(built_loss)))


def is_batch_invariant(runner: GraphRunner, window: np.ndarray) -> bool:
    """Tell whether equal rows in one batch give, bit for bit, what one row alone gives.

    One token is a decode step; an odd and an even number of tokens find kernels that take rows in pairs.
    """
    for tokens in INVARIANCE_TOKENS:
        ids = np.resize(window, tokens)[None]
        alone = runner.batch_logits(ids)
        for rows in range(2, INVARIANCE_ROWS + 1):
            if not (runner.batch_logits(np.repeat(ids, rows, axis=0)) == alone).all():
                return False
    return True


def _add(sums: _Sums, window: np.ndarray, reference: np.ndarray, built: np.ndarray) -> None:
    difference = np.abs(built - reference)
    sums.positions += window.size
    sums.predicted += window.size - 1
    sums.values += difference.size
    sums.absolute += float(difference.sum(dtype=np.float64))
    sums.largest = max(sums.largest, float(difference.max()))
    sums.squared += float(np.square(difference).sum(dtype=np.float64))
    sums.spread += float(np.square(reference - reference.mean(axis=1, keepdims=True)).sum(dtype=np.float64))
    sums.agreeing += int((reference.argmax(axis=1) == built.argmax(axis=1)).sum())
    p, q = _log_softmax(reference), _log_softmax(built)
    sums.divergence += float((np.exp(p) * (p - q)).sum(dtype=np.float64))
    rows, targets = np.arange(window.size - 1), window[1:]
    sums.float_loss -= float(p[rows, targets].sum(dtype=np.float64))
    sums.built_loss -= float(q[rows, targets].sum(dtype=np.float64))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
