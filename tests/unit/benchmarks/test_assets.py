"""Where models lie, and the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import assets
from benchmarks.__main__ import parse
from benchmarks.convert.onnx_folder import calibration
from benchmarks.process import ROOT
from benchmarks.settings import GLM_SMALL, GLM_SMALL_CHECKPOINT, QUICK_ROUNDS, TINY, Settings
from tests.support.fixture_models import copy_bundle

SHAPE = "llama-0.43b"


def test_a_made_model_is_not_made_again(tmp_path: Path) -> None:
    """Its folder appears only when it is whole."""
    settings = Settings(work=tmp_path, python="/nowhere/python")
    made = assets.path(settings, SHAPE, "groups64-kv8")
    made.mkdir(parents=True)
    assert assets.need(settings, SHAPE, "groups64-kv8") == made


def test_peers_make_their_models_without_what_is_ours() -> None:
    """Their interpreter has no autoglmd, and no onnxruntime."""
    lacking = "import sys; sys.modules.update(autoglmd=None, onnxruntime=None); import benchmarks.assets"
    subprocess.run([sys.executable, "-c", lacking], cwd=ROOT, check=True)


def test_prepared_models_lie_where_the_daemon_looks(tmp_path: Path) -> None:
    """So both measure the same file, and it is made once."""
    place = assets.path(Settings(work=tmp_path), SHAPE, "prepared-per-token-kv8")
    assert place == tmp_path / "state" / "prepared" / "llama-0.43b-per-token-kv8"


def test_glm_smalls_checkpoint_is_the_trained_one(tmp_path: Path) -> None:
    """It is not made here."""
    assert assets.path(Settings(work=tmp_path), GLM_SMALL, "checkpoint").parts[-2:] == ("glm_small", "checkpoint")


def test_quick_results_are_kept_apart(tmp_path: Path) -> None:
    """A quick look never ends up among the real figures."""
    quick, names, measuring = parse(["--quick", "--work", str(tmp_path), "--only", "race"])
    full, everything, _ = parse(["--work", str(tmp_path), "--report-only"])
    assert quick.results != full.results
    assert (quick.rounds, names, measuring) == (QUICK_ROUNDS, ["race"], True)
    assert "long-prompt" in everything


def test_an_unknown_experiment_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the known ones."""
    with pytest.raises(SystemExit):
        parse(["--only", "racing"])
    assert "end-to-end" in capsys.readouterr().err


def test_the_embedded_model_is_calibrated_as_it_is_shipped(tmp_path: Path) -> None:
    """On its own conversations; its INT8 KV cache would be judged by foreign scales otherwise."""
    file = calibration(GLM_SMALL_CHECKPOINT, tmp_path)
    assert file is not None
    assert file.read_text(encoding="utf-8")
    assert calibration(tmp_path / "another", tmp_path) is None


def test_the_tables_without_peers_follow_a_trial_of_the_tiny_shape() -> None:
    """Trying the harness must not build half a gigabyte; measuring only Glm still needs a Llama to take apart."""
    assert Settings(shapes=(TINY,)).own_shape == TINY
    assert Settings(shapes=("glm-edge-1.5b",)).own_shape == SHAPE
    assert TINY not in Settings().shapes


def test_a_stale_prepared_model_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon would make it again, and then both would run different graphs."""
    # Other tests have imported onnxruntime into this process with AMX; the benchmarks never do.
    monkeypatch.setattr("autoglmd.model.prepare.amx_is_lent", lambda: False)
    settings = Settings(work=tmp_path, python=sys.executable)
    copy_bundle("tiny-int8", assets.path(settings, SHAPE, "groups64-kv8"))
    stale = assets.path(settings, SHAPE, "prepared-groups64-kv8")
    stale.mkdir(parents=True)
    (stale / "prepared.json").write_text("{}", encoding="utf-8")
    made = assets.need(settings, SHAPE, "prepared-groups64-kv8")
    first = (made / "prepared.json").stat().st_mtime_ns
    assert (made / "model.onnx").exists()
    again = assets.need(settings, SHAPE, "prepared-groups64-kv8")
    assert (again / "prepared.json").stat().st_mtime_ns == first


def test_the_benchmarks_own_process_is_lent_no_amx() -> None:
    """Or it would take every prepared copy for a stale one, and make it again at each turn."""
    program = "import benchmarks.__main__, onnxruntime; from autoglmd.host.amx import amx_is_lent; print(amx_is_lent())"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
