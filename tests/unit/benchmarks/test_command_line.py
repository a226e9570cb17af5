"""The command line of the benchmarks."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import __main__ as command
from benchmarks.settings import Settings
from benchmarks.store import Store


def test_the_first_experiment_on_a_new_machine_finds_the_folder_it_works_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has made a model there yet."""
    work = tmp_path / "new" / "bench"

    def measure(settings: Settings, _: Store) -> None:
        (settings.work / "scratch").mkdir()

    monkeypatch.setitem(command.EXPERIMENTS, "bytes", SimpleNamespace(measure=measure))
    monkeypatch.setattr(command.report, "write", lambda *_: tmp_path)
    command.main(["--only", "bytes", "--work", str(work), "--output", str(tmp_path)])
    assert (work / "scratch").is_dir()
