"""Finds the KV cache's scales by running the float graph over text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from autoglmctl.build import attention
from autoglmctl.build.kv_cache import KvScales
from autoglmctl.build.options import KvGranularity, KvOptions
from autoglmctl.build.runner import GraphRunner
from autoglmctl.build.thresholds import find_thresholds

INTEGER_LIMIT = 127


@dataclass(frozen=True)
class Rotary:
    """How an attention layer turns its keys: how many dimensions, and which of them make pairs."""

    dimensions: int
    interleaved: bool

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the first and the second dimension of each pair that turns together."""
        if self.interleaved:
            return np.arange(0, self.dimensions, 2), np.arange(1, self.dimensions, 2)
        half = self.dimensions // 2
        return np.arange(half), np.arange(half, self.dimensions)


def rotaries(model: ir.Model) -> list[Rotary]:
    """Read each attention layer's rotation from the graph, layers in order."""
    return [_rotary(node) for node in attention.layers(model)]


def calibrate(
    runner: GraphRunner,
    turns: list[Rotary],
    windows: list[np.ndarray],
    options: KvOptions,
    progress: Callable[[float], None],
) -> list[KvScales]:
    """Run `windows` (int64 ids) and return each layer's scales."""
    keys, values = _collect(runner, windows, progress)
    return [
        KvScales(_scales(turning_range(key, rotary), options), _scales(value, options))
        for key, value, rotary in zip(keys, values, turns, strict=True)
    ]


def turning_range(keys: np.ndarray, rotary: Rotary) -> np.ndarray:
    """Replace both numbers of each rotary pair by the pair's length: what they reach at some position.

    `keys` is float32 `[tokens, heads, head_dim]`, after the rotation. Low frequencies hardly turn within a
    calibration text, so a range seen at position 500 would clip at position 30,000.
    """
    first, second = rotary.pairs()
    reach = keys.copy()
    lengths = np.hypot(keys[..., first], keys[..., second])
    reach[..., first] = lengths
    reach[..., second] = lengths
    return reach


def _collect(
    runner: GraphRunner, windows: list[np.ndarray], progress: Callable[[float], None]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    keys: list[list[np.ndarray]] = [[] for _ in range(runner.kv_shape.layers)]
    values: list[list[np.ndarray]] = [[] for _ in range(runner.kv_shape.layers)]
    for number, window in enumerate(windows):
        for kept, new in zip((keys, values), runner.keys_and_values(window), strict=True):
            for layer, array in zip(kept, new, strict=True):
                layer.append(array)
        progress((number + 1) / len(windows))
    return [np.concatenate(layer) for layer in keys], [np.concatenate(layer) for layer in values]


def _scales(samples: np.ndarray, options: KvOptions) -> np.ndarray:
    """From samples `[tokens, heads, head_dim]` to scales, float32 `[heads * head_dim]` or `[1]`."""
    channels = samples.shape[1] * samples.shape[2] if options.granularity is KvGranularity.PER_CHANNEL else 1
    flat = samples.reshape(-1, channels)
    return find_thresholds(flat, options.method) / np.float32(INTEGER_LIMIT)


def _rotary(node: ir.Node) -> Rotary:
    interleaved = bool(attention.setting(node, "rotary_interleaved"))
    return Rotary(attention.turned_dimensions(node) or 0, interleaved)
