"""From a Hugging Face folder to a model that the daemon loads: the whole way, one step after the other."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoglmctl.build.options import BuildOptions, KvPrecision
from autoglmctl.build.progress import Progress
from autoglmctl.build.report import BuildReport, write_report
from autoglmctl.build.source import Source, open_source
from autoglmctl.build.text import read_text, tokenize, windows
from autoglmd.errors import NotSupportedError
from autoglmd.host.files import sync_directory, sync_tree

if TYPE_CHECKING:
    from autoglmctl.build.kv_cache import KvScales

REQUIRED = ("torch", "transformers", "onnxruntime_genai", "onnx_ir", "safetensors")
"""Modules of the extra `[build]`."""


def build_model(options: BuildOptions, progress: Progress) -> BuildReport:
    """Build `options.source` into `options.output` and return what was measured.

    The output folder appears only when everything is done; a failed build leaves nothing behind.

    Raises:
        InvalidArgumentError: an option makes no sense, or the calibration text is empty or not UTF-8.
        ModelMissingError, ModelCorruptError, ModelUnsupportedError, TokenizerError: the source cannot be used.
        NotSupportedError: the extra `[build]` is not installed.
    """
    options.check()
    source = open_source(options.source)
    require_extra()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{options.output.name}.", dir=options.output.parent) as work:
        report = _build_in(Path(work), source, options, progress)
        sync_tree(Path(work) / "output")
        (Path(work) / "output").rename(options.output)
        sync_directory(options.output.parent)
    return report


def require_extra() -> None:
    """Raise `NotSupportedError` unless the packages that building needs are there."""
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        raise NotSupportedError(
            f"Building models needs {', '.join(missing)}. Install them: pip install 'autoglmd[build]'."
        )


def _build_in(work: Path, source: Source, options: BuildOptions, progress: Progress) -> BuildReport:
    from autoglmctl.build.convert import convert
    from autoglmctl.build.measure import measure_and_prune
    from autoglmctl.build.tokenizer_files import copy_tokenizer

    float_folder, output = work / "float", work / "output"
    output.mkdir()
    copy_tokenizer(source, output)
    ids = tokenize(output, read_text(options.kv.calibration))
    _export(work, source, options, progress)
    _finish_config(float_folder, output)
    cut = _windows(output, ids)
    difference = _check(work, cut[0], options, progress)
    scales = _scales(float_folder, cut, options, progress)
    notes = convert(float_folder, output, options.weights, scales, lambda part: progress("quantize", part))
    report = measure_and_prune(float_folder, output, cut, options, progress)
    report = replace(report, notes=report.notes + notes, export_difference=difference)
    write_report(report, output)
    return report


def _export(work: Path, source: Source, options: BuildOptions, progress: Progress) -> None:
    from autoglmctl.build.export import export_float
    from autoglmctl.build.staging import stage

    progress("export", 0.0)
    stage(source, work / "staged", options.context_length)
    export_float(work / "staged", work / "float")
    progress("export", 1.0)


def _check(work: Path, window: np.ndarray, options: BuildOptions, progress: Progress) -> float | None:
    if not options.measure:
        return None
    from autoglmctl.build.reference import check_against_transformers

    progress("check", 0.0)
    return check_against_transformers(work / "staged", work / "float", window)


def _finish_config(float_folder: Path, output: Path) -> None:
    """Take over the builder's genai_config.json; let generation also end where the tokenizer ends a turn."""
    from autoglmctl.build.tokenizer_files import end_of_turn_ids

    config = json.loads((float_folder / "genai_config.json").read_text(encoding="utf-8"))
    ends = config["model"]["eos_token_id"]
    ends = ends if isinstance(ends, list) else [ends]
    config["model"]["eos_token_id"] = [*ends, *(end for end in end_of_turn_ids(output) if end not in ends)]
    (output / "genai_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _windows(output: Path, ids: np.ndarray) -> list[np.ndarray]:
    model = json.loads((output / "genai_config.json").read_text(encoding="utf-8"))["model"]
    return windows(ids, model["context_length"], model["vocab_size"])


def _scales(
    float_folder: Path, cut: list[np.ndarray], options: BuildOptions, progress: Progress
) -> list[KvScales] | None:
    if options.kv.precision is KvPrecision.FP32:
        return None
    from autoglmctl.build import graph
    from autoglmctl.build.calibration import calibrate, rotaries
    from autoglmctl.build.runner import GraphRunner

    turns = rotaries(graph.load(float_folder))
    runner = GraphRunner(float_folder, options.threads, pack=False)
    return calibrate(runner, turns, cut, options.kv, lambda part: progress("calibrate", part))
