"""What the calibration methods of the KV cache make of a tiny random checkpoint.

    python -m tests.build.calibration_methods

prints the table of docs/model-building.md: weights stay FP32, so that the KV cache alone makes the difference.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoglmctl.build import graph
from autoglmctl.build.agreement import compare
from autoglmctl.build.build import build_model
from autoglmctl.build.calibration import calibrate, rotaries
from autoglmctl.build.convert import convert
from autoglmctl.build.kv_cache import KvScales
from autoglmctl.build.options import (
    BuildOptions,
    CalibrationMethod,
    KvGranularity,
    KvOptions,
    KvPrecision,
    Precision,
    WeightOptions,
)
from autoglmctl.build.report import Agreement
from autoglmctl.build.runner import GraphRunner
from autoglmctl.build.text import read_text, tokenize, windows
from tests.build.checkpoints import EVEN, make

FLOAT = WeightOptions(Precision.FP32)


@dataclass(frozen=True)
class Outcome:
    """What one method does."""

    granularity: KvGranularity
    method: CalibrationMethod
    thresholds: float
    """Mean of the thresholds relative to those of minmax."""
    agreement: Agreement


def outcomes(folder: Path) -> Iterator[Outcome]:
    """Build a tiny Glm in `folder` and calibrate it by each method, on the text that ships."""
    source = make(folder / "source", "glm", EVEN | {"max_position_embeddings": 512}).folder
    plain = BuildOptions(source, folder / "float", FLOAT, KvOptions(KvPrecision.FP32), False, measure=False)
    build_model(plain, _ignore)
    runner = GraphRunner(plain.output, 1)
    cut = windows(tokenize(source, read_text(None)), runner.context_length, runner.vocabulary)
    reference = [runner.logits(window) for window in cut]
    turns = rotaries(graph.load(plain.output))
    for granularity in KvGranularity:
        widest = np.ones(1)
        for method in CalibrationMethod:
            options = KvOptions(granularity=granularity, method=method)
            scales = calibrate(runner, turns, cut, options, lambda _part: None)
            built = _with_scales(plain.output, folder / f"{granularity.value}-{method.value}", scales)
            found = compare(reference, built, cut, lambda _part: None).agreement
            all_scales = np.concatenate([side for layer in scales for side in (layer.key, layer.value)])
            widest = all_scales if method is CalibrationMethod.MINMAX else widest
            yield Outcome(granularity, method, float((all_scales / widest).mean()), found)


def _with_scales(source: Path, folder: Path, scales: list[KvScales]) -> GraphRunner:
    convert(source, folder, FLOAT, scales, lambda _part: None)
    shutil.copyfile(source / "genai_config.json", folder / "genai_config.json")
    return GraphRunner(folder, 1)


def _ignore(step: str, part: float) -> None:
    pass


def main() -> None:
    """Print the table."""
    print("| scales | method | thresholds / minmax | relative logit error | same most probable token |")  # noqa: T201
    print("|---|---|---|---|---|")  # noqa: T201
    with tempfile.TemporaryDirectory() as folder:
        for each in outcomes(Path(folder)):
            figures = each.agreement
            print(  # noqa: T201
                f"| {each.granularity.value} | {each.method.value} | {each.thresholds:.3f} "
                f"| {100 * figures.logit_error_relative:.2f} % | {100 * figures.greedy_agreement:.2f} % |"
            )


if __name__ == "__main__":
    main()
