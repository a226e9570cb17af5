"""A Hugging Face checkpoint as the folders that autoglmd loads, by its own build tool."""

from __future__ import annotations

from pathlib import Path


def build(source: Path, target: Path, kind: str) -> None:
    """Write `source` into `target` as `groups` or `per-token` (INT8, INT8 KV) or `fp32` (FP32 KV).

    Nothing is measured while building: with random weights agreement says little, and costs are measured here.
    """
    from autoglmctl.build.build import build_model
    from autoglmctl.build.options import BuildOptions, KvOptions, KvPrecision, Precision, Scheme, WeightOptions

    if kind == "fp32":
        weights, kv = WeightOptions(Precision.FP32), KvOptions(KvPrecision.FP32)
    else:
        weights, kv = WeightOptions(scheme=Scheme(kind)), KvOptions()
    build_model(BuildOptions(source, target, weights=weights, kv=kv, measure=False), lambda _step, _part: None)


def prepare(source: Path, target: Path) -> None:
    """Write the folder `source` into `target` as optimized and packed for this host."""
    from autoglmd.model.bundle import read_bundle
    from autoglmd.model.device import CPU
    from autoglmd.model.prepare import prepare as prepare_bundle

    prepare_bundle(read_bundle(source), target, (CPU,))
