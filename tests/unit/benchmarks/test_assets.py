"""Where models lie, and the command line."""

from pathlib import Path

import pytest

from benchmarks import assets
from benchmarks.__main__ import parse
from benchmarks.settings import GLM_SMALL, QUICK_ROUNDS, Settings

SHAPE = "llama-0.43b"


def test_a_made_model_is_not_made_again(tmp_path: Path) -> None:
    """Its folder appears only when it is whole."""
    settings = Settings(work=tmp_path, python="/nowhere/python")
    made = assets.path(settings, SHAPE, "groups64-kv8")
    made.mkdir(parents=True)
    assert assets.need(settings, SHAPE, "groups64-kv8") == made


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
