"""A Hugging Face checkpoint as GGUF Q8_0: matrices in 8 bits by llama.cpp's own rule, norms in float32.

Written here because llama.cpp's converter is a script of its repository, not of a package. Names and layouts are
those of GGUF's specification and llama.cpp's `llama` and `chatglm` architectures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Tensors = Iterator[tuple[str, np.ndarray]]
ReadTensor = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Dimensions:
    """What GGUF's metadata says of a model; sizes in elements."""

    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    context: int
    rotary: int
    rope_theta: float
    norm_epsilon: float
    tied: bool

    @staticmethod
    def of(config: dict[str, Any]) -> Dimensions:
        """Read a `config.json` of Llama or Glm.

        Raises:
            ValueError: another architecture.
        """
        kind = config["architectures"][0]
        architecture = {"LlamaForCausalLM": "llama", "GlmForCausalLM": "chatglm"}.get(kind)
        if architecture is None:
            raise ValueError(f"{kind}: only LlamaForCausalLM and GlmForCausalLM are converted to GGUF")
        head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        rope = {**config, **(config.get("rope_parameters") or {})}
        return Dimensions(
            architecture=architecture,
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            head_dim=head_dim,
            intermediate=config["intermediate_size"],
            vocab=config["vocab_size"],
            context=config["max_position_embeddings"],
            rotary=int(head_dim * rope.get("partial_rotary_factor", 1.0)),
            rope_theta=rope["rope_theta"],
            norm_epsilon=config["rms_norm_eps"],
            tied=config.get("tie_word_embeddings", False),
        )


def interleave_rotary(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorder a q or k projection `[heads * head_dim, in]` from half-split rotary pairs to neighbouring ones.

    Hugging Face's Llama turns element i with i + head_dim / 2, llama.cpp's turns 2i with 2i + 1.
    """
    split = weight.reshape(heads, 2, -1, weight.shape[-1])
    return split.swapaxes(1, 2).reshape(weight.shape)


def tensors(dimensions: Dimensions, read: ReadTensor) -> Tensors:
    """Yield GGUF names and float32 arrays; `read` returns a checkpoint's tensor by its name."""
    yield "token_embd.weight", read("model.embed_tokens.weight")
    yield "output_norm.weight", read("model.norm.weight")
    if not dimensions.tied:
        yield "output.weight", read("lm_head.weight")
    layer_of = _llama_layer if dimensions.architecture == "llama" else _glm_layer
    for layer in range(dimensions.layers):
        for name, array in layer_of(dimensions, _within(read, layer)):
            yield f"blk.{layer}.{name}", array


def _within(read: ReadTensor, layer: int) -> ReadTensor:
    return lambda name: read(f"model.layers.{layer}.{name}")


def _llama_layer(dimensions: Dimensions, read: ReadTensor) -> Tensors:
    yield from _shared_by_both(read)
    yield "attn_q.weight", interleave_rotary(read("self_attn.q_proj.weight"), dimensions.heads)
    yield "attn_k.weight", interleave_rotary(read("self_attn.k_proj.weight"), dimensions.kv_heads)
    yield "attn_v.weight", read("self_attn.v_proj.weight")
    yield "ffn_gate.weight", read("mlp.gate_proj.weight")
    yield "ffn_up.weight", read("mlp.up_proj.weight")


def _glm_layer(_: Dimensions, read: ReadTensor) -> Tensors:
    """Glm is interleaved already; llama.cpp keeps q, k, v and gate, up fused for it, as chatglm has them."""
    yield from _shared_by_both(read)
    yield "attn_qkv.weight", np.concatenate([read(f"self_attn.{part}_proj.weight") for part in "qkv"])
    yield "ffn_up.weight", read("mlp.gate_up_proj.weight")


def _shared_by_both(read: ReadTensor) -> Tensors:
    yield "attn_norm.weight", read("input_layernorm.weight")
    yield "ffn_norm.weight", read("post_attention_layernorm.weight")
    yield "attn_output.weight", read("self_attn.o_proj.weight")
    yield "ffn_down.weight", read("mlp.down_proj.weight")


def metadata(dimensions: Dimensions) -> dict[str, int | float | str]:
    """Return GGUF's key-value pairs. There is no tokenizer in the file: token ids go in and come out."""
    name = dimensions.architecture
    return {
        f"{name}.vocab_size": dimensions.vocab,
        f"{name}.context_length": dimensions.context,
        f"{name}.embedding_length": dimensions.hidden,
        f"{name}.block_count": dimensions.layers,
        f"{name}.feed_forward_length": dimensions.intermediate,
        f"{name}.rope.dimension_count": dimensions.rotary,
        f"{name}.rope.freq_base": float(dimensions.rope_theta),
        f"{name}.attention.head_count": dimensions.heads,
        f"{name}.attention.head_count_kv": dimensions.kv_heads,
        f"{name}.attention.key_length": dimensions.head_dim,
        f"{name}.attention.value_length": dimensions.head_dim,
        f"{name}.attention.layer_norm_rms_epsilon": float(dimensions.norm_epsilon),
        "tokenizer.ggml.model": "none",
    }


def convert(source: Path, target: Path) -> None:
    """Write the checkpoint folder `source` as the Q8_0 file `target`."""
    import gguf

    dimensions = Dimensions.of(json.loads((source / "config.json").read_text(encoding="utf-8")))
    writer = gguf.GGUFWriter(target, dimensions.architecture, use_temp_file=True)
    for key, value in metadata(dimensions).items():
        add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}[type(value)]
        add(key, value)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    q8 = gguf.GGMLQuantizationType.Q8_0
    for name, array in tensors(dimensions, _reader(source)):
        if array.ndim == 1:
            writer.add_tensor(name, np.ascontiguousarray(array, dtype=np.float32))
        else:
            writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(array), q8), raw_dtype=q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _reader(source: Path) -> ReadTensor:
    """Read single tensors of a checkpoint of one or more safetensors files, as float32."""
    from safetensors import safe_open

    files = [safe_open(file, framework="pt") for file in sorted(source.glob("*.safetensors"))]
    places = {name: file for file in files for name in file.keys()}  # noqa: SIM118  (not a dict)

    def read(name: str) -> np.ndarray:
        array: np.ndarray = places[name].get_tensor(name).float().numpy()
        return array

    return read
