"""How far a KV cache's 8-bit range reaches: minmax, percentile, entropy.

A threshold is the absolute value that the integer 127 stands for; larger values are clipped. Samples are float32
`[tokens, channels]`; thresholds are float32 `[channels]`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autoglmctl.build.options import CalibrationMethod

PERCENTILE = 99.99
HISTOGRAM_BINS = 2048
QUANTIZED_LEVELS = 128
"""Absolute values that a signed 8-bit integer can tell apart."""
SMALLEST_THRESHOLD = 1e-6
"""A channel that was always zero still needs a positive scale."""


def find_thresholds(samples: np.ndarray, method: CalibrationMethod) -> np.ndarray:
    """Return one threshold per channel, by `method`, never below `SMALLEST_THRESHOLD`."""
    found = np.maximum(_METHODS[method](np.abs(samples)), SMALLEST_THRESHOLD)
    return np.asarray(found, dtype=np.float32)


def minmax(magnitudes: np.ndarray) -> np.ndarray:
    """Return the largest magnitude: nothing that was seen is clipped."""
    return np.asarray(magnitudes.max(axis=0))


def percentile(magnitudes: np.ndarray) -> np.ndarray:
    """Return the magnitude below which 99.99 % of a channel's samples lie.

    One channel of a calibration text has fewer than 10,000: this is then between its largest and its second largest,
    which is nearly minmax. With one scale per tensor, all are counted together.
    """
    return np.asarray(np.percentile(magnitudes, PERCENTILE, axis=0))


def entropy(magnitudes: np.ndarray) -> np.ndarray:
    """Return the threshold whose quantized distribution is nearest to the original in Kullback-Leibler divergence.

    The method of TensorRT's calibrator (Migacz, "8-bit Inference with TensorRT", 2017). One channel has too few
    samples for 2048 bins, so channels are put on a common footing by their maxima, share one histogram, and are
    clipped at the same fraction of their maxima.
    """
    maxima = np.maximum(magnitudes.max(axis=0), SMALLEST_THRESHOLD)
    counts, _ = np.histogram(magnitudes / maxima, bins=HISTOGRAM_BINS, range=(0.0, 1.0))
    counts[0] = counts[1]  # zeros quantize exactly; their heap at 0 would outweigh everything
    divergences = {
        bins: _divergence(counts.astype(np.float64), bins)
        for bins in range(QUANTIZED_LEVELS, HISTOGRAM_BINS + 1, QUANTIZED_LEVELS // 8)
    }
    best = min(divergences, key=lambda bins: (divergences[bins], -bins))
    return np.asarray(maxima * (best / HISTOGRAM_BINS))


def _divergence(counts: np.ndarray, bins: int) -> float:
    """KL divergence of clipping at `bins` and quantizing to 128 levels."""
    reference = counts[:bins].copy()
    reference[-1] += counts[bins:].sum()
    quantized = _spread(counts[:bins])
    if reference.sum() == 0 or quantized.sum() == 0:
        return float("inf")
    p, q = reference / reference.sum(), quantized / quantized.sum()
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-12))).sum())


def _spread(counts: np.ndarray) -> np.ndarray:
    """Merge bins into 128 levels and spread each level's mass over its bins that are not empty."""
    level = np.arange(counts.size) * QUANTIZED_LEVELS // counts.size
    filled = counts > 0
    mass = np.bincount(level, weights=counts, minlength=QUANTIZED_LEVELS)
    share = np.bincount(level, weights=filled, minlength=QUANTIZED_LEVELS)
    return np.where(filled, (mass / np.maximum(share, 1))[level], 0.0)


_METHODS: dict[CalibrationMethod, Callable[[np.ndarray], np.ndarray]] = {
    CalibrationMethod.MINMAX: minmax,
    CalibrationMethod.PERCENTILE: percentile,
    CalibrationMethod.ENTROPY: entropy,
}
