"""From the float graph to the one that ships: weights, embedding table and KV cache in 8 bits as asked."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import onnx_ir as ir

from autoglmctl.build import graph
from autoglmctl.build.embedding import quantize_embedding
from autoglmctl.build.graph import Projection
from autoglmctl.build.groups import SMALLEST_GROUP, to_groups, workable_group
from autoglmctl.build.kv_cache import KvScales, quantize_kv_cache
from autoglmctl.build.options import Precision, Scheme, WeightOptions
from autoglmctl.build.per_token import PerTokenRewriter
from autoglmctl.build.prefill_attention import prefill_in_float

FULL_LIMIT, REDUCED_LIMIT = 127, 63
"""Largest absolute integers of 8- and 7-bit weights."""


def convert(
    source: Path,
    output: Path,
    options: WeightOptions,
    scales: list[KvScales] | None,
    progress: Callable[[float], None],
) -> tuple[str, ...]:
    """Write the graph in `source` to `output`, changed as asked; return notes for the report.

    `scales` holds one entry per layer for an INT8 KV cache, `None` for a float one.
    """
    model = graph.load(source)
    notes: list[str] = []
    if options.precision is Precision.INT8:
        notes += _quantize_weights(model, options, progress)
    if scales is not None:
        quantize_kv_cache(model, scales)
        note = prefill_in_float(model)
        notes += [note] if note else []
    graph.save(model, output)
    return tuple(notes)


def _quantize_weights(model: ir.Model, options: WeightOptions, progress: Callable[[float], None]) -> list[str]:
    limit = REDUCED_LIMIT if options.reduce_range else FULL_LIMIT
    layers = graph.projections(model)
    per_token = PerTokenRewriter(model, [layer for layer in layers if not in_groups(layer.name, options)], limit)
    group_notes: dict[str, list[str]] = {}
    for number, layer in enumerate(layers):
        if in_groups(layer.name, options):
            note = _to_groups(model, layer, options.group_size, limit)
            group_notes.setdefault(note, []).append(layer.name)
        else:
            per_token.rewrite(layer)
        progress((number + 1) / len(layers))
    embedding_note = quantize_embedding(model, options.group_size)
    notes = [f"{note}: {_abbreviated(names)}" for note, names in group_notes.items() if note]
    return notes + ([embedding_note] if embedding_note else [])


def in_groups(layer: str, options: WeightOptions) -> bool:
    """Tell whether a layer's products are made by MatMulNBits."""
    if options.scheme is not Scheme.PER_TOKEN:
        return True
    return any(fnmatch(layer, pattern) for pattern in options.keep_in_groups)


def _to_groups(model: ir.Model, layer: Projection, wanted: int, limit: int) -> str:
    inputs, _ = layer.shape
    group = workable_group(inputs, wanted)
    to_groups(model, layer, group, limit)
    if group == wanted:
        return ""
    if inputs % group:
        return f"{inputs} inputs are not a multiple of {SMALLEST_GROUP}: groups of {group}, the last one padded"
    return f"groups of {wanted} do not divide {inputs} inputs: groups of {group}"


def _abbreviated(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"
