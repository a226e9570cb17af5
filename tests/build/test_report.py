"""The report: measured, readable by people and programs, and honest about what was not done."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from autoglmctl.build.agreement import compare, is_batch_invariant
from autoglmctl.build.build import build_model
from autoglmctl.build.options import BuildOptions, KvOptions, KvPrecision, Precision, Scheme, WeightOptions
from autoglmctl.build.report import BuildReport, Cost, to_markdown
from autoglmctl.build.runner import GraphRunner
from tests.build.conftest import MakeCheckpoint

TEXT = "打开客厅的灯。Turn off the lights in the bedroom. 今天天气怎么样?\n" * 30


@pytest.fixture(scope="module")
def built(checkpoint: MakeCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildReport, Path, list[str]]:
    """Build once with everything measured; return the report, the folder and the steps told."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "calibration.txt").write_text(TEXT, encoding="utf-8")
    steps: list[str] = []

    def note(step: str, part: float) -> None:
        assert 0 <= part <= 1
        if step not in steps:
            steps.append(step)

    source = checkpoint("glm", "even").folder
    kv = KvOptions(calibration=folder / "calibration.txt")
    weights = WeightOptions(scheme=Scheme.GROUPS, group_size=64)
    options = BuildOptions(source, folder / "out", weights, kv, threads=1)
    return build_model(options, note), folder / "out", steps


def test_everything_that_was_asked_for_is_measured(built: tuple[BuildReport, Path, list[str]]) -> None:
    """Size, load, memory, latency and perplexity of both, and how near they are."""
    report, folder, _ = built
    for cost in (report.float32, report.built):
        assert all(value is not None and value > 0 for value in asdict(cost).values())
    assert report.built.size_bytes < 0.5 * report.float32.size_bytes
    assert report.built.size_bytes == sum((folder / n).stat().st_size for n in ("model.onnx", "model.onnx.data"))
    assert report.agreement is not None
    assert report.agreement.positions > 500
    assert 0 < report.agreement.logit_error_relative < 0.07
    assert 0.8 < report.agreement.greedy_agreement <= 1
    assert 0 < report.agreement.divergence < 0.05
    assert report.batch_invariant is True


def test_the_json_holds_what_was_returned(built: tuple[BuildReport, Path, list[str]]) -> None:
    """Programs read build_report.json."""
    report, folder, _ = built
    assert json.loads((folder / "build_report.json").read_text()) == json.loads(json.dumps(asdict(report)))


def test_the_markdown_names_every_figure(built: tuple[BuildReport, Path, list[str]]) -> None:
    """People read build_report.md."""
    text = (built[1] / "build_report.md").read_text()
    for words in (
        "size, MB",
        "load, s",
        "prefill of",
        "decode step",
        "decode of 8 rows",
        "perplexity",
        "same most probable token",
    ):
        assert words in text
    assert "int8 weights (groups of 64), int8 KV cache" in text
    assert "yes, bit for bit" in text


def test_the_steps_are_told_in_order(built: tuple[BuildReport, Path, list[str]]) -> None:
    """A progress bar needs to know what runs."""
    assert built[2] == [
        "export",
        "check",
        "calibrate",
        "quantize groups",
        "run FP32",
        "compare groups",
        "time FP32",
        "time groups",
    ]


def test_without_measuring_the_report_says_sizes_only() -> None:
    """What was not measured is absent, not zero."""
    report = BuildReport("int8", "per-token", 128, "fp32", Cost(1_000_000), Cost(4_000_000), notes=("a note",))
    text = to_markdown(report)
    assert "| size, MB | 4 | 1 |" in text
    assert "load, s" not in text
    assert "not measured" in text
    assert "- a note" in text


def test_fp32_agrees_with_itself_exactly(checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    """The yardstick reads zero where there is no difference, and perplexity is e to the mean loss."""
    source = checkpoint("llama", "even")
    weights, kv = WeightOptions(Precision.FP32), KvOptions(KvPrecision.FP32)
    build_model(BuildOptions(source.folder, tmp_path / "out", weights, kv, False, measure=False), _ignore)
    runner = GraphRunner(tmp_path / "out", 1)
    comparison = compare([runner.logits(source.ids)], runner, [source.ids], lambda _part: None)
    assert comparison.agreement.logit_error_max == 0
    assert comparison.agreement.greedy_agreement == 1
    shifted = source.logits - source.logits.max(axis=1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    chosen = probabilities[np.arange(source.ids.size - 1), source.ids[1:]]
    assert math.isclose(comparison.built_perplexity, np.exp(-np.log(chosen).mean()), rel_tol=1e-3)


class _RowAware:
    """A runner whose rows feel each other, as an operator with one scale per batch makes them."""

    def batch_logits(self, ids: np.ndarray) -> np.ndarray:
        return np.full((*ids.shape, 4), float(ids.shape[0]), dtype=np.float32)


def test_rows_that_feel_each_other_are_found_out() -> None:
    """The check must be able to fail."""
    assert not is_batch_invariant(_RowAware(), np.arange(5))  # type: ignore[arg-type]


def _ignore(step: str, part: float) -> None:
    pass
