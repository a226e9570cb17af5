"""The sections of conversations on disk, from made-up results, and their page."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.experiments import EXPERIMENTS, OF_ENGINES, OF_SESSIONS
from benchmarks.experiments.beside import BesideStreams
from benchmarks.experiments.peer import Peer
from benchmarks.experiments.resume import Resume
from benchmarks.experiments.returning import ReturningSessions
from benchmarks.experiments.session_bytes import SessionBytes
from benchmarks.experiments.start import Start
from benchmarks.settings import Settings
from benchmarks.store import Result, Store, experiment_of

SHAPE = "glm-edge-1.5b"
OWN = "llama-0.43b"
SETTINGS = Settings()
PARTS: dict[str, Any] = {
    "read_disk": 0.030,
    "load_memory": 0.090,
    "load_disk": 0.110,
    "write_row": 0.020,
    "steps": {"2": 0.050, "17": 0.100},
    "tokens": 2000,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty one."""
    return Store(tmp_path)


def keep(store: Store, key: str, result: Result, rounds: int = 3) -> None:
    """Put the same result where the experiment would put its rounds."""
    for number in range(rounds):
        store.need(f"{key}/{number}", lambda: result)


def resumed(hot: dict[str, float]) -> Result:
    """A round of `resume` in which cold was 0.2 s, and a prompt of 2,000 tokens 20 s."""
    turn = {"cold": 0.2, "warm": 0.1, "computed": 2.0, **hot}
    return {"tokens": 2000, "scratch": 20.0, "turns": {"1": turn, "16": turn}}


def test_resuming_is_set_against_computing_anew_and_against_a_step(store: Store) -> None:
    """100 times from disk; from the row it could be 400 times, where 500 are asked."""
    keep(store, f"resume/{SHAPE}/daemon", resumed({"hot": 0.05}))
    keep(store, f"resume/{SHAPE}/parts", PARTS)
    [section] = Resume().report(SETTINGS, store)
    assert "| 1, 2 | 20000 (20000-20000) | 200 (200-200) | 100 (100-100) | 50 (50-50) | 50 (50-50) |" in section.body
    assert "| 100 (100-100) reached | 400 (400-400) **missed** | 400 (400-400) |" in section.body


def test_a_cold_turn_is_taken_apart(store: Store) -> None:
    """Reading 30 ms, 80 more with unpacking, copying 20, the step 50: the other 20 of 200 are beside them."""
    keep(store, f"resume/{SHAPE}/daemon", resumed({"hot": 0.05}))
    keep(store, f"resume/{SHAPE}/parts", PARTS)
    [section] = Resume().report(SETTINGS, store)
    assert "| 1 | 30 (30-30) | 80 (80-80) | 20 (20-20) | 50 (50-50) | 20 (20-20) | 200 (200-200) |" in section.body


def test_a_session_that_was_elsewhere_is_no_hot_one(store: Store) -> None:
    """The tier that the daemon told decides what a time is called."""
    keep(store, f"resume/{SHAPE}/daemon", resumed({"hot in memory": 0.1}))
    keep(store, f"resume/{SHAPE}/parts", PARTS)
    [section] = Resume().report(SETTINGS, store)
    assert "| not so found |" in section.body
    assert "| not measured yet |" in section.body


@pytest.mark.parametrize(("disk", "cell"), [(1600, "0.200 reached"), (3200, "0.400 **missed**")])
def test_bytes_on_disk_are_set_against_fp32_in_memory(store: Store, disk: int, cell: str) -> None:
    """The whole file counts, text and heads included."""
    for kind, per_token, size in (("int8", 2, disk), ("fp32", 8, 7200)):
        told = {"tokens": 1000, "disk_bytes": size, "kv_bytes_per_token": per_token}
        keep(store, f"bytes/{SHAPE}/{kind}", told, rounds=1)
    [section] = SessionBytes().report(SETTINGS, store)
    assert f"| {cell} |" in section.body


def test_streams_beside_saving_are_set_against_the_same_without(store: Store) -> None:
    """98 of 100 tokens, in both ways; sessions that were not on disk are told."""
    files = {"tokens": 1000, "rates": {"alone": 100.0, "stirred": 98.0}, "told": {"saved": 80}}
    asked = {"tokens": 1000, "rates": {"fresh": 90.0, "returning": 81.0}, "told": {"tiers": {"disk": 3, "row": 1}}}
    keep(store, f"beside/{OWN}/files", files)
    keep(store, f"beside/{OWN}/requests", asked)
    [section] = BesideStreams().report(SETTINGS, store)
    assert "files, 1000 tokens | 100 (100-100) | 98 (98-98) | 0.980 (0.980-0.980) reached |" in section.body
    assert "requests, 1000 tokens, 25% of them not from disk | 90 (90-90) |" in section.body


def test_a_decoupled_pipeline_is_told_with_what_it_could_gain_at_most(store: Store) -> None:
    """Half of the serial time is beside the steps, and so is half of two cores: twice as fast at most."""
    common = {"cached": 400.0, "sizes": {"sentences": 8, "answer": 8}, "cores": 2}
    chores = {"prepare": 1.0, "send": 1.0, "save": 3.0}
    serial = {"rate": 20.0, "seconds": 10.0, "cpu": 10.0, "chores": chores, **common}
    keep(store, f"returning/{OWN}/2/serial", serial)
    keep(store, f"returning/{OWN}/2/decoupled", {"rate": 38.0, "seconds": 5.0, "cpu": 8.0, "chores": {}, **common})
    [section] = ReturningSessions().report(SETTINGS, store)
    assert "| 20.0 (20.0-20.0) | 38.0 (38.0-38.0) | 1.90 (1.90-1.90) reached |" in section.body
    assert "reached | 10.0 % | 10.0 % | 30.0 % | 1.00 | 1.60 | 2.00 |" in section.body
    assert section.plots[0].series["serial"] == ((20.0, 20.0, 20.0),)


def test_a_decoupled_pipeline_cannot_gain_more_than_the_cores_that_stood_idle(store: Store) -> None:
    """Hardly anything is beside the steps' time, or nearly all cores were busy: there is little to gain."""
    common = {"rate": 20.0, "seconds": 10.0, "cached": 400.0, "sizes": {"sentences": 8, "answer": 8}, "cores": 2}
    keep(store, f"returning/{OWN}/2/serial", {"cpu": 16.0, "chores": {"save": 5.0}, **common})
    keep(store, f"returning/{OWN}/2/decoupled", {"cpu": 16.0, "chores": {}, **common})
    [section] = ReturningSessions().report(SETTINGS, store)
    assert "| 1.60 | 1.60 | 1.25 |" in section.body


def test_a_start_is_judged_by_the_seconds_that_many_sessions_add(store: Store) -> None:
    """By the worst round."""
    few, many = {"ready": 2.0, "answer": 2.1}, {"ready": 2.5, "answer": 3.2}
    keep(store, f"start/{OWN}", {"sessions": 10_000, "few": few, "many": many})
    [section] = Start().report(SETTINGS, store)
    assert "| to READY | 2.00 (2.00-2.00) | 2.50 (2.50-2.50) | 0.50 (0.50-0.50) reached |" in section.body
    assert "| 1.10 (1.10-1.10) **missed** |" in section.body


def test_a_peers_sync_is_counted_and_told(store: Store) -> None:
    """Its server leaves the file to the kernel; ours is on the disk when it is saved."""
    facts = {"kv": "int8"}
    row = {"read_row": 0.01, "save": 0.39, "read_row_turn": 0.001, "append": 0.009, "bytes": 50e6, "append_bytes": 2e6}
    ours = {**PARTS, **row, "facts": facts}
    theirs = {"save": 0.1, "sync": 0.5, "append": 0.1, "load_disk": 0.13, "load_memory": 0.05, "same": True}
    keep(store, f"peer/{SHAPE}/ours", ours)
    keep(store, f"peer/{SHAPE}/theirs", {**theirs, "bytes": 100e6, "append_bytes": 103e6, "facts": {"kv": "f16"}})
    [section] = Peer().report(SETTINGS, store)
    assert (
        "| save it whole, and have it on the disk | 400 (400-400) | 600 (600-600) | 1.50 (1.50-1.50) |" in section.body
    )
    assert "| save the next turn, and have it on the disk | 10.0 (10.0-10.0) | 600 (600-600) |" in section.body
    assert "| restore it, from disk | 130 (130-130) | 130 (130-130) | 1.00 (1.00-1.00) |" in section.body
    assert "gave the same next token" in section.body


def test_what_was_not_measured_stands_on_the_page_of_sessions(tmp_path: Path) -> None:
    """Each of the six, with how to measure it; the other page shows what there is and says nothing of the rest."""
    settings = Settings(work=tmp_path / "work", output=tmp_path / "out")
    store = Store(settings.results)
    text = report.write(settings, store, OF_SESSIONS, report.SESSIONS).read_text(encoding="utf-8")
    for experiment in OF_SESSIONS:
        assert f"Not measured yet: `python -m benchmarks --only {experiment.name}`" in text
    assert "Not measured yet" not in report.write(settings, store, OF_ENGINES).read_text(encoding="utf-8")


def test_a_page_tells_the_commits_of_its_own_results_alone(tmp_path: Path) -> None:
    """A page does not become another because the other one was measured again."""
    settings = Settings(work=tmp_path / "work", output=tmp_path / "out")
    commits = iter(("1111111", "2222222"))

    def origin() -> dict[str, Any]:
        return {"machine": {"cores": "2"}, "commit": next(commits), "changed": [], "sources": "s"}

    told = Store(settings.results, fingerprint=origin)
    told.need(f"bytes/{SHAPE}/int8/0", lambda: {"tokens": 1, "disk_bytes": 1, "kv_bytes_per_token": 1})
    told.need("precision-accuracy/x/fp32", dict)
    text = report.write(settings, told, OF_SESSIONS, report.SESSIONS).read_text(encoding="utf-8")
    assert "1111111" in text
    assert "2222222" not in text
    assert experiment_of("precision-accuracy/x/fp32") == "precision"


def test_every_experiment_has_a_name_of_its_own() -> None:
    """It is the folder of its results."""
    assert len(EXPERIMENTS) == len(OF_ENGINES) + len(OF_SESSIONS)
