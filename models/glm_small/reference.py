"""GLM's forward pass in plain numpy and FP32: what the INT8 bundle is measured against.

Formulas: transformers' GlmForCausalLM (partial, interleaved rotary; grouped-query attention; fused gate and up).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.glm_small.safetensors_file import read_weights

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    """What config.json says of the network."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    rotary_dim: int
    rotary_base: float
    epsilon: float


class ReferenceModel:
    """A checkpoint in FP32."""

    def __init__(self, folder: Path) -> None:
        self._shape = _read_shape(folder / "config.json")
        self._weights = read_weights(folder / "model.safetensors")

    def logits(self, ids: list[int], last: int) -> Array:
        """Logits [last, vocabulary] of the last positions of one sequence."""
        hidden = self._weights["model.embed_tokens.weight"][ids]
        rotation = _rotation(self._shape, len(ids))
        for layer in range(self._shape.layers):
            hidden = hidden + self._attention(layer, hidden, rotation)
            hidden = hidden + self._feed_forward(layer, hidden)
        hidden = _normalized(hidden[-last:], self._weights["model.norm.weight"], self._shape.epsilon)
        head = self._weights.get("lm_head.weight", self._weights["model.embed_tokens.weight"])
        result: Array = hidden @ head.T
        return result

    def _attention(self, layer: int, hidden: Array, rotation: tuple[Array, Array]) -> Array:
        shape, tokens = self._shape, len(hidden)
        normalized = self._norm(layer, "input_layernorm", hidden)
        query = self._heads(layer, "q_proj", normalized, shape.heads)
        key = self._heads(layer, "k_proj", normalized, shape.kv_heads)
        value = self._heads(layer, "v_proj", normalized, shape.kv_heads)
        key, value = (
            np.repeat(each, shape.heads // shape.kv_heads, axis=0) for each in (_rotated(key, rotation), value)
        )
        scores = _rotated(query, rotation) @ key.swapaxes(1, 2) / np.float32(np.sqrt(shape.head_dim))
        scores = np.where(np.tri(tokens, dtype=bool), scores, np.float32(-np.inf))
        mixed = (_softmax(scores) @ value).swapaxes(0, 1).reshape(tokens, -1)
        return self._linear(f"model.layers.{layer}.self_attn.o_proj", mixed)

    def _heads(self, layer: int, name: str, hidden: Array, heads: int) -> Array:
        projected = self._linear(f"model.layers.{layer}.self_attn.{name}", hidden)
        return projected.reshape(len(hidden), heads, self._shape.head_dim).swapaxes(0, 1)

    def _feed_forward(self, layer: int, hidden: Array) -> Array:
        normalized = self._norm(layer, "post_attention_layernorm", hidden)
        gate, up = np.split(self._linear(f"model.layers.{layer}.mlp.gate_up_proj", normalized), 2, axis=-1)
        return self._linear(f"model.layers.{layer}.mlp.down_proj", up * gate / (1 + np.exp(-gate)))

    def _norm(self, layer: int, name: str, hidden: Array) -> Array:
        return _normalized(hidden, self._weights[f"model.layers.{layer}.{name}.weight"], self._shape.epsilon)

    def _linear(self, name: str, values: Array) -> Array:
        result: Array = values @ self._weights[f"{name}.weight"].T
        return result


def _read_shape(file: Path) -> Shape:
    config = json.loads(file.read_text(encoding="utf-8"))
    rotary = config["rope_parameters"]
    return Shape(
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        rotary_dim=int(config["head_dim"] * rotary["partial_rotary_factor"]),
        rotary_base=rotary["rope_theta"],
        epsilon=config["rms_norm_eps"],
    )


def _rotation(shape: Shape, tokens: int) -> tuple[Array, Array]:
    frequencies = shape.rotary_base ** -(np.arange(0, shape.rotary_dim, 2) / shape.rotary_dim)
    angles = np.outer(np.arange(tokens), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _rotated(heads: Array, rotation: tuple[Array, Array]) -> Array:
    """Rotate neighbouring pairs of the first dimensions of each head; heads is [heads, tokens, head_dim]."""
    cosine, sine = rotation
    pairs = 2 * cosine.shape[1]
    even, odd = heads[..., 0:pairs:2], heads[..., 1:pairs:2]
    result = heads.copy()
    result[..., 0:pairs:2] = even * cosine - odd * sine
    result[..., 1:pairs:2] = odd * cosine + even * sine
    return result


def _normalized(hidden: Array, weight: Array, epsilon: float) -> Array:
    mean_square = np.mean(hidden * hidden, axis=-1, keepdims=True)
    result: Array = hidden / np.sqrt(mean_square + np.float32(epsilon)) * weight
    return result


def _softmax(scores: Array) -> Array:
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Array = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result
