"""A Hugging Face checkpoint as the folders that autoglmd loads, by its own build tool."""

from __future__ import annotations

import tempfile
from pathlib import Path

from autoglmctl.build.options import BuildOptions, KvOptions, KvPrecision, Precision, Scheme, WeightOptions
from autoglmd.host.amx import amx_withheld
from benchmarks.settings import GLM_SMALL_CHECKPOINT

_GROUPS_64 = WeightOptions(group_size=64)
_GROUPS_128 = WeightOptions(group_size=128)
_PER_TOKEN = WeightOptions(scheme=Scheme.PER_TOKEN)
KINDS = {
    "fp32": (WeightOptions(Precision.FP32), KvPrecision.FP32),
    "groups64-kv32": (_GROUPS_64, KvPrecision.FP32),
    "groups64-kv8": (_GROUPS_64, KvPrecision.INT8),
    "groups128-kv32": (_GROUPS_128, KvPrecision.FP32),
    "per-token-kv32": (_PER_TOKEN, KvPrecision.FP32),
    "per-token-kv8": (_PER_TOKEN, KvPrecision.INT8),
}
"""Weights and KV cache of each kind of build."""


def build(source: Path, target: Path, kind: str) -> None:
    """Write `source` into `target` as one of `KINDS`.

    Nothing is measured while building: with random weights agreement says little, and costs are measured here.
    """
    from autoglmctl.build.build import build_model

    weights, kv = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        keys_and_values = KvOptions(kv, calibration=calibration(source, Path(folder)))
        options = BuildOptions(source, target, weights=weights, kv=keys_and_values, measure=False)
        build_model(options, lambda _step, _part: None)


def calibration(source: Path, folder: Path) -> Path | None:
    """Return the text that the embedded model is shipped with scales of; other models have the tool's own text."""
    if source.resolve() != GLM_SMALL_CHECKPOINT:
        return None
    from models.glm_small.calibration import text

    file = folder / "calibration.txt"
    file.write_text(text(), encoding="utf-8")
    return file


def prepare(source: Path, target: Path) -> None:
    """Write the folder `source` into `target` as optimized and packed for this host."""
    from autoglmd.model.bundle import read_bundle
    from autoglmd.model.device import CPU

    with amx_withheld():
        from autoglmd.model.prepare import prepare as prepare_bundle

    prepare_bundle(read_bundle(source), target, (CPU,))
