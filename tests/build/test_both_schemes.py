"""`--scheme auto`: both forms of one export are made and measured, one is kept, and the report says why."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from autoglmctl.build import export, measure, reference
from autoglmctl.build.build import UNMEASURED, build_model
from autoglmctl.build.choice import choose
from autoglmctl.build.cost import measure_cost
from autoglmctl.build.options import BuildOptions, KvOptions, Precision, Scheme, WeightOptions
from autoglmctl.build.report import BuildReport, Cost, to_markdown
from autoglmd.errors.base import HostError
from autoglmd.errors.model import ModelUnsupportedError
from tests.build.checkpoints import Checkpoint
from tests.build.conftest import MakeCheckpoint

TEXT = "打开客厅的灯。Turn off the lights in the bedroom. 今天天气怎么样?\n" * 10
COST = Cost(
    1,
    load_seconds=0.1,
    resident_bytes=1_000_000,
    prefill_tokens=64,
    prefill_seconds=0.2,
    decode_seconds=0.02,
    prefill_tokens_per_second=300.0,
    decode_tokens_per_second=50.0,
    decode_8_rows_tokens_per_second=200.0,
)


class Stopwatch:
    """Costs that are told instead of taken: per-token is `times` as fast, FP32 cannot be timed if `float_error`."""

    def __init__(self, times: float = 1.0, float_error: Exception | None = None) -> None:
        self.times = times
        self.float_error = float_error
        self.timed: list[str] = []

    def __call__(self, folder: Path, threads: int, tokens: int) -> Cost:
        """Take the place of `measure_cost`."""
        assert (threads, tokens > 1) == (1, True)
        self.timed.append(folder.name)
        if folder.name == "float" and self.float_error:
            raise self.float_error
        rate = 50.0 * (self.times if folder.name == "per-token" else 1.0)
        return replace(COST, decode_tokens_per_second=rate)


class Counter:
    """Counts how often what it stands for was called, and calls it."""

    def __init__(self, called: object) -> None:
        self.called = called
        self.calls = 0

    def __call__(self, *arguments: object, **named: object) -> object:
        """Pass on."""
        self.calls += 1
        return self.called(*arguments, **named)  # type: ignore[operator]


@pytest.fixture(scope="module")
def options(checkpoint: MakeCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> BuildOptions:
    """Return the defaults over a tiny checkpoint and a text of its own; the output folder is still to be named."""
    folder = tmp_path_factory.mktemp("auto")
    (folder / "calibration.txt").write_text(TEXT, encoding="utf-8")
    kv = KvOptions(calibration=folder / "calibration.txt")
    return BuildOptions(checkpoint("glm", "even").folder, folder, kv=kv, threads=1)


@pytest.fixture(scope="module", params=["groups", "per-token"])
def built(
    request: pytest.FixtureRequest, options: BuildOptions, tmp_path_factory: pytest.TempPathFactory
) -> tuple[BuildReport, Path, str]:
    """Build with a stopwatch that makes one of the schemes win."""
    folder = tmp_path_factory.mktemp("built") / "out"
    stopwatch = Stopwatch(2.0 if request.param == "per-token" else 0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "measure_cost", stopwatch)
        report = build_model(replace(options, output=folder), _ignore)
    return report, folder, request.param


def test_the_chosen_form_is_the_one_in_the_folder(
    built: tuple[BuildReport, Path, str], options: BuildOptions, tmp_path: Path
) -> None:
    """The bytes are those of a build that names the scheme, and the loser leaves nothing."""
    _, folder, winner = built
    weights = WeightOptions(scheme=Scheme(winner))
    build_model(replace(options, output=tmp_path / "named", weights=weights, measure=False), _ignore)
    for name in ("model.onnx", "model.onnx.data", "genai_config.json"):
        assert (folder / name).read_bytes() == (tmp_path / "named" / name).read_bytes()
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_the_report_holds_both_candidates_and_the_reason(built: tuple[BuildReport, Path, str]) -> None:
    """For people and for programs; what stands in front is what was taken."""
    report, folder, winner = built
    assert [each.scheme for each in report.candidates] == ["groups", "per-token"]
    assert report.scheme == winner
    taken = next(each for each in report.candidates if each.scheme == winner)
    assert (report.built, report.agreement, report.batch_invariant) == (taken.cost, taken.agreement, True)
    assert report.choice.startswith(f"{winner}: 1.26 times as fast as ")
    content = json.loads((folder / "build_report.json").read_text())
    assert content == json.loads(json.dumps(asdict(report)))
    assert content["candidates"][1]["cost"]["decode_8_rows_tokens_per_second"] == 200.0
    page = (folder / "build_report.md").read_text()
    assert f"Chosen: {report.choice}" in page
    assert f"| {winner} (chosen) |" in page
    assert "decode of 8 rows, tokens/s" in page


def test_every_candidate_is_compared_with_fp32(built: tuple[BuildReport, Path, str]) -> None:
    """Each has an agreement and a perplexity of its own, and they are not the same."""
    first, second = built[0].candidates
    assert first.agreement != second.agreement
    assert first.agreement.positions == second.agreement.positions > 100
    assert first.cost.perplexity != second.cost.perplexity
    assert choose(first, second, built[0].float32.perplexity or 0).reason == built[0].choice


def test_both_forms_come_of_one_export_one_check_and_one_fp32_run(
    options: BuildOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exporting and running FP32 are the long parts of a build; they are done once."""
    stopwatch = Stopwatch()
    monkeypatch.setattr(measure, "measure_cost", stopwatch)
    counters = {name: Counter(getattr(module, name)) for module, name in _SHARED}
    for module, name in _SHARED:
        monkeypatch.setattr(module, name, counters[name])
    build_model(replace(options, output=tmp_path / "out"), _ignore)
    assert {name: counter.calls for name, counter in counters.items()} == dict.fromkeys(counters, 1)
    turns = ["groups", "per-token", "per-token", "groups", "groups", "per-token"]
    assert stopwatch.timed == ["float", *turns]


_SHARED = ((export, "export_float"), (reference, "check_against_transformers"), (measure, "Recording"))


@pytest.mark.parametrize(
    "error", [HostError("Too little memory."), ModelUnsupportedError("No."), OSError(12, "no fork"), MemoryError()]
)
def test_fp32_that_cannot_be_timed_is_a_note_not_the_end(
    options: BuildOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A float graph may not fit in the memory that the INT8 one was made for."""
    monkeypatch.setattr(measure, "measure_cost", Stopwatch(2.0, error))
    report = build_model(replace(options, output=tmp_path / "out"), _ignore)
    assert report.scheme == "per-token"
    assert [note for note in report.notes if note.startswith("FP32 was not timed")]
    assert report.float32.perplexity
    assert report.float32.decode_seconds is None
    assert "| one decode step, ms | - | 20 | 20 |" in to_markdown(report)


def test_a_named_scheme_skips_the_other(options: BuildOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One form, timed once; nothing was chosen."""
    stopwatch = Stopwatch()
    monkeypatch.setattr(measure, "measure_cost", stopwatch)
    weights = WeightOptions(scheme=Scheme.PER_TOKEN)
    report = build_model(replace(options, output=tmp_path / "out", weights=weights), _ignore)
    assert stopwatch.timed == ["float", "per-token"]
    assert (report.scheme, report.choice, report.candidates) == ("per-token", "", ())


def test_without_measuring_auto_is_groups_and_says_so(options: BuildOptions, tmp_path: Path) -> None:
    """There are no figures to choose by."""
    report = build_model(replace(options, output=tmp_path / "out", measure=False), _ignore)
    assert (report.scheme, report.notes) == ("groups", (UNMEASURED,))


def test_fp32_weights_leave_nothing_to_choose(options: BuildOptions, tmp_path: Path) -> None:
    """There is one form of float weights, and no note about a choice."""
    weights = WeightOptions(Precision.FP32)
    report = build_model(replace(options, output=tmp_path / "out", weights=weights, measure=False), _ignore)
    assert (report.scheme, report.notes) == ("float", ())


def test_the_cost_of_a_graph_has_speeds_for_one_row_and_for_eight(checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    """Taken in a process of its own; every figure is there."""
    source: Checkpoint = checkpoint("llama", "even")
    build_model(BuildOptions(source.folder, tmp_path / "out", measure=False), _ignore)
    cost = replace(measure_cost(tmp_path / "out", 1, 64), perplexity=1.0)
    assert all(value is not None and value > 0 for value in asdict(cost).values())
    assert cost.prefill_tokens == 64
    assert cost.decode_tokens_per_second == pytest.approx(1 / (cost.decode_seconds or math.inf))


def _ignore(step: str, part: float) -> None:
    pass
