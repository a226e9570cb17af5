"""The commands that need no daemon: inspect, build and prepare."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from autoglmctl.app import build_app
from autoglmctl.build import build as build_module
from autoglmctl.build.options import BuildOptions, CalibrationMethod, KvPrecision, Precision, Scheme
from autoglmctl.build.progress import Progress
from autoglmctl.build.report import Agreement, BuildReport, Candidate, Cost

FIXTURE = Path(__file__).parents[2] / "fixtures" / "models" / "tiny-int8"
REPORT = BuildReport(
    precision="int8",
    scheme="groups",
    group_size=128,
    kv="int8",
    built=Cost(size_bytes=1_000_000),
    float32=Cost(size_bytes=4_000_000),
    agreement=Agreement(100, 0.1, 0.2, 0.01, 0.99, 0.001),
)


def run(*words: str) -> Result:
    """Run `autoglmctl model ...`."""
    return CliRunner().invoke(build_app(), ["model", *words])


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[BuildOptions]:
    """What the build was asked for; nothing is built."""
    asked: list[BuildOptions] = []

    def build_model(options: BuildOptions, progress: Progress) -> BuildReport:
        asked.append(options)
        progress("export", 0.0)
        progress("export", 1.0)
        return REPORT

    monkeypatch.setattr(build_module, "build_model", build_model)
    return asked


def test_build_without_options_takes_the_builders_defaults(built: list[BuildOptions]) -> None:
    """There is one place for them, and it is not the command line."""
    assert run("build", "src", "out").exit_code == 0
    assert built == [BuildOptions(Path("src"), Path("out"))]


def test_build_passes_every_choice_on(built: list[BuildOptions]) -> None:
    """Weights, KV cache and the rest."""
    words = "--precision int8 --scheme per-token --group-size 32 --keep-in-groups lm_head --kv fp32"
    words += " --calibration c.txt --calibration-method entropy --no-prune-lm-head --no-measure"
    words += " --context-length 512 --threads 2 --reduce-range"
    assert run("build", "src", "out", *words.split()).exit_code == 0
    options = built[0]
    assert (options.weights.precision, options.weights.scheme) == (Precision.INT8, Scheme.PER_TOKEN)
    assert (options.weights.group_size, options.weights.keep_in_groups) == (32, ("lm_head",))
    assert (options.kv.precision, options.kv.method) == (KvPrecision.FP32, CalibrationMethod.ENTROPY)
    assert options.kv.calibration == Path("c.txt")
    assert (options.prune_lm_head, options.measure, options.context_length) == (False, False, 512)
    assert options.weights.reduce_range


def test_build_shows_its_steps_and_its_report(built: list[BuildOptions]) -> None:
    """Steps to stderr, the measured tables to stdout; with --json, the report as it is."""
    done = run("build", "src", "out")
    assert done.stderr == "export ...\n"
    assert "99.00 %" in done.stdout
    body = json.loads(run("build", "src", "out", "--json").stdout)
    assert body["output"] == "out"
    assert body["report"]["agreement"]["greedy_agreement"] == 0.99


def test_build_says_in_a_line_what_was_chosen_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default both schemes are built; whoever waited for that wants to know what came of it."""
    reason = "groups: per-token is as fast within 3 % (decode 0.99x, 8 rows 1.01x); a tie goes to groups."
    candidates = tuple(
        Candidate(scheme, REPORT.built, Agreement(100, 0.1, 0.2, 0.01, share, 0.001), True)
        for scheme, share in (("groups", 0.99), ("per-token", 0.98))
    )
    report = replace(REPORT, choice=reason, candidates=candidates)
    monkeypatch.setattr(build_module, "build_model", lambda _options, _progress: report)
    lines = run("build", "src", "out").stdout.splitlines()
    assert lines[-2:] == [f"Chosen: {reason}", "The model is in out."]
    body = json.loads(run("build", "src", "out", "--json").stdout)["report"]
    assert body["choice"] == reason
    assert [each["agreement"]["greedy_agreement"] for each in body["candidates"]] == [0.99, 0.98]


def test_build_of_nothing_is_an_error() -> None:
    """The missing folder is named."""
    done = run("build", "/nowhere", "/nowhere/out")
    assert done.exit_code == 1
    assert "/nowhere" in done.stderr


def test_inspect_reads_a_folder_without_a_daemon() -> None:
    """What genai_config.json says, checked, for eyes and for programs."""
    assert "glm" in run("inspect", str(FIXTURE)).stdout
    facts = json.loads(run("inspect", str(FIXTURE), "--json").stdout)
    assert (facts["architecture"], facts["vocab_size"]) == ("glm", 512)
    assert facts["weights_bytes"] > 100_000


def test_inspect_shows_a_build_report(tmp_path: Path) -> None:
    """Where the folder has one."""
    for file in FIXTURE.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    report = {
        "precision": "int8",
        "scheme": "groups",
        "kv": "int8",
        "agreement": {"greedy_agreement": 0.5, "positions": 9},
    }
    (tmp_path / "build_report.json").write_text(json.dumps(report))
    assert "50.00 % of 9 positions" in run("inspect", str(tmp_path)).stdout


def test_inspect_of_a_folder_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    """The daemon's own words, from the daemon's own check."""
    done = run("inspect", str(tmp_path))
    assert done.exit_code == 1
    assert "genai_config.json is missing" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("model.onnx", b"", "holds no graph"),
        ("model.onnx", b"\xff" * 1000, "is not an ONNX model"),
        ("model.onnx.data", b"x" * 1000, "has 1000 bytes; the graph needs"),
        ("model.onnx.data", None, "has 0 bytes; the graph needs"),
    ],
)
def test_inspect_of_a_corrupt_folder_is_an_error(
    tmp_path: Path, name: str, content: bytes | None, complaint: str
) -> None:
    """An empty graph, one that is none, weights that are cut off or not there: none of them looks healthy."""
    for file in FIXTURE.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run("inspect", str(tmp_path))
    assert done.exit_code == 1
    assert complaint in done.stderr
    assert str(tmp_path / name) in done.stderr


def test_prepare_writes_where_it_is_told(tmp_path: Path) -> None:
    """A prepared folder with its key, made for this host."""
    done = run("prepare", str(FIXTURE), "--output", str(tmp_path / "prepared"), "--json")
    assert done.exit_code == 0, done.stderr
    body = json.loads(done.stdout)
    assert (tmp_path / "prepared" / "model.onnx").is_file()
    assert body["key"]["bundle_version"] == json.loads(run("inspect", str(FIXTURE), "--json").stdout)["version"]
