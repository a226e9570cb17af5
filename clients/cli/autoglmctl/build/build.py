"""From a Hugging Face folder to a model that the daemon loads: the whole way, one step after the other."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoglmctl.build.host_limits import host_limits
from autoglmctl.build.options import BuildOptions, KvPrecision, Precision
from autoglmctl.build.progress import Progress
from autoglmctl.build.report import BuildReport, write_report
from autoglmctl.build.source import Source, open_source
from autoglmctl.build.text import read_text, tokenize, windows
from autoglmd.errors.request import NotSupportedError
from autoglmd.host.files import sync_directory, sync_tree

if TYPE_CHECKING:
    from autoglmctl.build.kv_cache import KvScales
    from autoglmctl.build.measure import Form

REQUIRED = ("torch", "transformers", "onnxruntime_genai", "onnx_ir", "safetensors")
"""Modules of the extra `[build]`."""
CONFIG_FILE = "genai_config.json"
UNMEASURED = "the scheme is groups: without measuring there are no figures to choose it by"


def build_model(options: BuildOptions, progress: Progress) -> BuildReport:
    """Build `options.source` into `options.output` and return what was measured.

    The output folder appears only when everything is done; a failed build leaves nothing behind.

    Raises:
        InvalidArgumentError: an option makes no sense, or the calibration text is empty or not UTF-8.
        ModelMissingError, ModelCorruptError, ModelUnsupportedError, TokenizerError: the source cannot be used.
        NotSupportedError: the extra `[build]` is not installed.
        HostError: the disk is full or may not be written, or there is too little memory.
    """
    options.check()
    parent = options.output.parent
    with host_limits(parent):
        source = open_source(options.source)
        require_extra()
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{options.output.name}.", dir=parent) as work:
            with host_limits(parent, Path(work)):
                report = _build_in(Path(work), source, options, progress)
                sync_tree(Path(work) / "output")
                (Path(work) / "output").rename(options.output)
            sync_directory(parent)
    return report


def require_extra() -> None:
    """Raise `NotSupportedError` unless the packages that building needs are there."""
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        raise NotSupportedError(
            f"Building models needs {', '.join(missing)}. Install them: pip install '.[build]' in the repository."
        )


def _build_in(work: Path, source: Source, options: BuildOptions, progress: Progress) -> BuildReport:
    from autoglmctl.build.measure import Measurement
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
    forms = _forms(work, options, scales, progress)
    measurement = Measurement(float_folder, cut, options, progress)
    report = measurement.measured(forms) if options.measure else measurement.sizes_only(forms[0])
    unmeasured = options.weights.chooses and not options.measure
    notes = (*report.notes, UNMEASURED) if unmeasured else report.notes
    report = replace(report, export_difference=difference, notes=notes)
    _take(report.scheme, forms, output)
    write_report(report, output)
    return report


def _forms(work: Path, options: BuildOptions, scales: list[KvScales] | None, progress: Progress) -> list[Form]:
    """Make each candidate of the one float graph, in a folder of its own that can be run."""
    from autoglmctl.build.convert import convert
    from autoglmctl.build.measure import Form

    forms = []
    for scheme in options.weights.candidates(measured=options.measure):
        name = scheme.value if options.weights.precision is Precision.INT8 else "float"
        told = partial(progress, f"quantize {name}")
        folder = work / "forms" / name
        notes = convert(work / "float", folder, replace(options.weights, scheme=scheme), scales, told)
        shutil.copyfile(work / "output" / CONFIG_FILE, folder / CONFIG_FILE)
        forms.append(Form(name, folder, notes))
    return forms


def _take(scheme: str, forms: list[Form], output: Path) -> None:
    """Move the chosen form's graph and weights into `output`."""
    for form in forms:
        if form.scheme == scheme:
            for name in ("model.onnx", "model.onnx.data"):
                (form.folder / name).rename(output / name)


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

    config = json.loads((float_folder / CONFIG_FILE).read_text(encoding="utf-8"))
    ends = config["model"]["eos_token_id"]
    ends = ends if isinstance(ends, list) else [ends]
    config["model"]["eos_token_id"] = [*ends, *(end for end in end_of_turn_ids(output) if end not in ends)]
    (output / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _windows(output: Path, ids: np.ndarray) -> list[np.ndarray]:
    model = json.loads((output / CONFIG_FILE).read_text(encoding="utf-8"))["model"]
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
