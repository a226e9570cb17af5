"""Weights in groups along the input dimension: the operator MatMulNBits with 8 bits."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from autoglmctl.build import graph
from autoglmctl.build.graph import CONTRIB, Projection

ACCURACY_LEVEL = 4
"""Activations are quantized to 8 bits per group inside the operator."""
SMALLEST_GROUP = 16
ZERO_POINT = 128
"""MatMulNBits' own default for unsigned 8-bit weights."""


def quantize(weight: np.ndarray, group_size: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantize float32 `[in, out]` symmetrically in groups of `group_size` inputs.

    Returns weights uint8 `[out, groups, group_size]` (the last group padded with zeros) and scales float32
    `[out, groups]`. `limit` is the largest absolute integer: 127, or 63 for 7 bits.
    """
    inputs, outputs = weight.shape
    groups = -(-inputs // group_size)
    padded = np.zeros((outputs, groups * group_size), dtype=np.float32)
    padded[:, :inputs] = weight.T
    grouped = padded.reshape(outputs, groups, group_size)
    scales = np.abs(grouped).max(axis=2) / limit
    scales[scales == 0] = 1.0
    integers = np.rint(grouped / scales[:, :, None]).clip(-limit, limit)
    return (integers + ZERO_POINT).astype(np.uint8), scales.astype(np.float32)


def workable_group(inputs: int, wanted: int) -> int:
    """Return the group size to use for `inputs` features: the largest up to `wanted` that divides them.

    When not even the smallest does, the smallest, with the last group padded.
    """
    divisor = math.gcd(inputs, wanted)
    return max(divisor, SMALLEST_GROUP)


def to_groups(model: ir.Model, projection: Projection, group_size: int, limit: int) -> None:
    """Replace the projection's MatMul by MatMulNBits with groups of `group_size`."""
    inputs, outputs = projection.shape
    weights, scales = quantize(projection.read(), group_size, limit)
    prefix = projection.name
    node = ir.node(
        "MatMulNBits",
        [
            projection.node.inputs[0],
            graph.constant(model, f"{prefix}.weight_q8", weights),
            graph.constant(model, f"{prefix}.weight_scales", scales),
        ],
        {"bits": 8, "block_size": group_size, "K": inputs, "N": outputs, "accuracy_level": ACCURACY_LEVEL},
        domain=CONTRIB,
        name=f"{projection.node.name}_groups",
    )
    graph.replace(projection.node, [node])
