"""The conversion to GGUF, without the file: names, layouts and metadata."""

from typing import Any

import numpy as np
import pytest

from benchmarks.convert.gguf_file import Dimensions, interleave_rotary, metadata, tensors

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "intermediate_size": 16,
    "vocab_size": 32,
    "max_position_embeddings": 64,
    "rope_parameters": {"rope_theta": 10000.0},
    "rms_norm_eps": 1e-5,
}
GLM = CONFIG | {
    "architectures": ["GlmForCausalLM"],
    "rope_parameters": {"rope_theta": 5e5, "partial_rotary_factor": 0.5},
}


def read(name: str) -> np.ndarray:
    """A checkpoint in which every matrix has as many rows as its kind has in CONFIG."""
    rows = {"q_proj": 8, "k_proj": 4, "v_proj": 4, "gate_up_proj": 32}
    kind = next((part for part in rows if part in name), "")
    return np.full((rows.get(kind, 8), 8), float(len(name)), dtype=np.float32)


def rotate_half(vector: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Turn as Hugging Face's Llama does: element i with i + half."""
    first, second = np.split(vector, 2)
    return np.concatenate(
        [first * np.cos(angle) - second * np.sin(angle), second * np.cos(angle) + first * np.sin(angle)]
    )


def rotate_pairs(vector: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Turn as llama.cpp does: element 2i with 2i + 1."""
    first, second = vector[0::2], vector[1::2]
    turned = [first * np.cos(angle) - second * np.sin(angle), second * np.cos(angle) + first * np.sin(angle)]
    return np.stack(turned, axis=1).reshape(-1)


def test_reordered_projections_give_the_same_scores() -> None:
    """Attention sees only products of turned queries and keys, and those stay."""
    random = np.random.default_rng(0)
    query, key, hidden = random.normal(size=(4, 8)), random.normal(size=(4, 8)), random.normal(size=8)
    angle_q, angle_k = random.normal(size=2), random.normal(size=2)
    theirs = rotate_half(query @ hidden, angle_q) @ rotate_half(key @ hidden, angle_k)
    reordered = [interleave_rotary(weight, 1) @ hidden for weight in (query, key)]
    ours = rotate_pairs(reordered[0], angle_q) @ rotate_pairs(reordered[1], angle_k)
    assert ours == pytest.approx(theirs)


def test_heads_keep_their_rows_when_reordered() -> None:
    """Each head is reordered within itself."""
    weight = np.arange(8, dtype=np.float32).reshape(8, 1)
    assert interleave_rotary(weight, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_a_llama_has_its_projections_apart() -> None:
    """Names as llama.cpp's architecture `llama` wants them."""
    names = {name for name, _ in tensors(Dimensions.of(CONFIG), read)}
    assert {"token_embd.weight", "output_norm.weight", "output.weight"} <= names
    assert {f"blk.1.attn_{part}.weight" for part in ("q", "k", "v", "output", "norm")} <= names
    assert {f"blk.0.ffn_{part}.weight" for part in ("gate", "up", "down", "norm")} <= names


def test_a_glm_has_them_fused() -> None:
    """Architecture `chatglm` keeps q, k, v in one matrix and gate, up in another."""
    found = dict(tensors(Dimensions.of(GLM), read))
    assert found["blk.0.attn_qkv.weight"].shape == (16, 8)
    assert found["blk.0.ffn_up.weight"].shape == (32, 8)
    assert "blk.0.ffn_gate.weight" not in found


def test_a_tied_head_is_not_written_twice() -> None:
    """llama.cpp then takes the embedding table."""
    found = dict(tensors(Dimensions.of(CONFIG | {"tie_word_embeddings": True}), read))
    assert "output.weight" not in found


def test_metadata_says_how_much_of_a_head_turns() -> None:
    """Glm turns half of each head."""
    assert metadata(Dimensions.of(CONFIG))["llama.rope.dimension_count"] == 4
    glm = metadata(Dimensions.of(GLM))
    assert (glm["chatglm.rope.dimension_count"], glm["chatglm.rope.freq_base"]) == (2, 5e5)


def test_metadata_numbers_have_gguf_types() -> None:
    """A float that looks like an integer must still be written as a float."""
    assert isinstance(metadata(Dimensions.of(CONFIG))["llama.rope.freq_base"], float)


def test_other_architectures_are_refused() -> None:
    """Rather than converted to something that only looks right."""
    with pytest.raises(ValueError, match="PhiForCausalLM"):
        Dimensions.of(CONFIG | {"architectures": ["PhiForCausalLM"]})
