"""The KV cache in 8 bits: GroupQueryAttention with calibrated scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from autoglmctl.build import attention, graph
from autoglmctl.build.attention import Input


@dataclass(frozen=True)
class KvScales:
    """One layer's scales: a float32 vector each, of one element (per tensor) or kv_heads * head_dim (per channel)."""

    key: np.ndarray
    value: np.ndarray


def quantize_kv_cache(model: ir.Model, scales: list[KvScales]) -> None:
    """Make past and present int8: value = integer * scale; layers in order."""
    attentions = attention.layers(model)
    if len(attentions) != len(scales):
        raise ValueError(f"{len(attentions)} attention layers, but scales for {len(scales)}")
    for number, (node, scale) in enumerate(zip(attentions, scales, strict=True)):
        key = graph.constant(model, f"layers.{number}.attn.k_scale", scale.key.astype(np.float32))
        value = graph.constant(model, f"layers.{number}.attn.v_scale", scale.value.astype(np.float32))
        _attach(node, key, value, per_channel=scale.key.size > 1)
    for value_info in (*model.graph.inputs, *model.graph.outputs):
        if (value_info.name or "").startswith(("past_key_values.", "present.")):
            value_info.type = ir.TensorType(ir.DataType.INT8)


def _attach(node: ir.Node, key: ir.Value, value: ir.Value, *, per_channel: bool) -> None:
    node.resize_inputs(max(len(node.inputs), Input.V_SCALE + 1))
    node.replace_input_with(Input.K_SCALE, key)
    node.replace_input_with(Input.V_SCALE, value)
    kind = "PER_CHANNEL" if per_channel else "PER_TENSOR"
    for name, setting in (("k_quant_type", kind), ("v_quant_type", kind)):
        node.attributes[name] = ir.AttrString(name, setting)
    node.attributes["kv_cache_bit_width"] = ir.AttrInt64("kv_cache_bit_width", 8)
