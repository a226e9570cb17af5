"""What onnxruntime-genai's model builder (0.18) does not know or does not get right: the GLM family and some repairs.

Importing this module imports torch and onnxruntime-genai: only `export` does so, and only when it needs to.
"""

from __future__ import annotations

from typing import Any

import onnxruntime_genai.models  # noqa: F401  (puts the builder's own top-level packages on the path)
import torch
from builders.base import Model  # type: ignore[import-not-found]  # on the path as of the line above
from builders.smollm import SmolLM3Model  # type: ignore[import-not-found]  # as above

ROTARY_DIM_MULTIPLE = 16
"""GroupQueryAttention of onnxruntime 1.31 checks that half the rotary dimension is a multiple of 8."""


class GlmModel(Model):  # type: ignore[misc]  # the builder has no type information
    """`GlmForCausalLM` (GLM-4-9B-Chat-HF, glm-edge): Llama with partial, interleaved rotary embeddings.

    The rotary fraction comes from `rope_parameters`; the fused `gate_up_proj` and the q/k/v biases are unpacked
    by the base class. Source of the shape: transformers, `models/glm/modeling_glm.py`.
    """

    def __init__(self, config: Any, *args: Any) -> None:
        """Take the arguments of the builder's `Model`: config, I/O type, weight type, provider, cache, options."""
        super().__init__(config, *args)
        self.rope_attrs["interleaved"] = 1
        self.rope_attrs["rotary_embedding_dim"] = self._padded_rotary_dim()

    def _padded_rotary_dim(self) -> int:
        dim = int(self.head_size * self.rope_attrs["partial_rotary_factor"])
        return -(-dim // ROTARY_DIM_MULTIPLE) * ROTARY_DIM_MULTIPLE

    def make_rotary_embedding_caches_from_scratch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and sines `[positions, rotary_dim / 2]`, padded with rotations by zero.

        GroupQueryAttention wants a multiple of 8 columns. Interleaved pairs are neighbours, so added pairs that
        do not turn leave the others where they are.
        """
        cosines, sines = super().make_rotary_embedding_caches_from_scratch()
        half = int(self.head_size * self.rope_attrs["partial_rotary_factor"]) // 2
        missing = self._padded_rotary_dim() // 2 - half
        pad = torch.nn.functional.pad
        return pad(cosines[:, :half], (0, missing), value=1.0), pad(sines[:, :half], (0, missing), value=0.0)


class Glm4Model(GlmModel):
    """`Glm4ForCausalLM` (GLM-4-9B-0414): Glm with one more norm after the attention and one after the MLP."""

    def make_layer(self, layer_id: int, layer: Any) -> None:
        """Write one decoder layer: norm, attention, norm, add and norm, MLP, norm; the next norm adds."""
        self._norm(layer_id, layer.input_layernorm, "input", skip=not self.layernorm_attrs["first_layernorm"])
        self.make_attention(layer_id, layer.self_attn, root_input=self.layernorm_attrs["output_0"])
        self._norm_of_branch(layer_id, layer.post_self_attn_layernorm, "post_self_attn")
        self._norm(layer_id, layer.post_attention_layernorm, "post_attention", skip=True)
        self.make_mlp(layer_id, layer.mlp, root_input=self.layernorm_attrs["output_0"])
        self._norm_of_branch(layer_id, layer.post_mlp_layernorm, "post_mlp")
        self.layernorm_attrs["first_layernorm"] = False
        self.layernorm_attrs["last_layernorm"] = layer_id == self.num_layers - 1

    def _norm(self, layer_id: int, norm: Any, location: str, *, skip: bool) -> None:
        self.make_layernorm(layer_id, norm, skip=skip, simple=True, location=location)

    def _norm_of_branch(self, layer_id: int, norm: Any, location: str) -> None:
        """Normalise what the branch computed (the pending skip input) before it joins the residual stream."""
        residual = self.layernorm_attrs["root_input"]
        self.layernorm_attrs["root_input"] = self.layernorm_attrs["skip_input"]
        self._norm(layer_id, norm, location, skip=False)
        self.layernorm_attrs["skip_input"] = self.layernorm_attrs["output_0"]
        self.layernorm_attrs["root_input"] = residual


class UnrotatedSmolLM3Model(SmolLM3Model):  # type: ignore[misc]  # as above
    """`SmolLM3ForCausalLM`, whose layers without rotation the builder cannot write for the CPU."""

    def make_attention(self, layer_id: int, attention: Any, root_input: str, **kwargs: Any) -> None:
        """Write one layer's attention, with no rotary operator at all where the layer does not rotate."""
        self.attention_attrs["rope"] = bool(self.no_rope_layers[layer_id])
        super().make_attention(layer_id, attention, root_input, **kwargs)
        self.attention_attrs["rope"] = True


OWN = {
    "GlmForCausalLM": GlmModel,
    "Glm4ForCausalLM": Glm4Model,
    "SmolLM3ForCausalLM": UnrotatedSmolLM3Model,
}
"""Architectures that are written by a class from here."""


def adapt(config: Any) -> None:
    """Tell the builder, in the words that it knows, what transformers 5 keeps elsewhere in a configuration.

    A window that holds for every layer (Mistral, Phi-3) becomes `layer_types`; two kinds of rotation (Gemma 3)
    become one and a base frequency for the layers with a window.
    """
    if getattr(config, "sliding_window", None) and getattr(config, "layer_types", None) is None:
        config.layer_types = ["sliding_attention"] * config.num_hidden_layers
    rotations = getattr(config, "rope_parameters", None)
    if isinstance(rotations, dict) and "full_attention" in rotations:
        config.rope_parameters = dict(rotations["full_attention"])
        config.rope_theta = rotations["full_attention"]["rope_theta"]
        config.rope_local_base_freq = rotations["sliding_attention"]["rope_theta"]
