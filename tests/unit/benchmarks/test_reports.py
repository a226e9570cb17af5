"""The smaller experiments' sections, from made-up results."""

from pathlib import Path

import pytest

from benchmarks.contenders import GROUPS_KV8
from benchmarks.experiments import EXPERIMENTS
from benchmarks.experiments.bucketing import Bucketing
from benchmarks.experiments.end_to_end import EndToEnd
from benchmarks.experiments.fusion import FORMS, WORKLOADS, Fusion
from benchmarks.experiments.memory import Memory
from benchmarks.experiments.precision import Precision
from benchmarks.experiments.prefetch import Prefetch
from benchmarks.settings import GLM_SMALL, Settings
from benchmarks.store import Result, Store

SHAPE = "llama-0.43b"
SETTINGS = Settings(shapes=(SHAPE,))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty one."""
    return Store(tmp_path)


def keep(store: Store, key: str, result: Result) -> None:
    """Put a result where the experiment would."""
    store.need(key, lambda: result)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_without_results_has_no_section(store: Store, name: str) -> None:
    """The page shows what was measured."""
    assert list(EXPERIMENTS[name].report(SETTINGS, store)) == []


def test_grpc_is_set_against_the_raw_loop(store: Store) -> None:
    """196 of 200 tokens per second are 98 %."""
    for number in range(3):
        keep(store, f"end-to-end/{SHAPE}/{GROUPS_KV8.key}/raw/{number}", {"rate": 200.0})
        keep(store, f"end-to-end/{SHAPE}/{GROUPS_KV8.key}/daemon/{number}", {"rate": 196.0})
    [section] = EndToEnd().report(SETTINGS, store)
    assert "| 200 (200-200) | 196 (196-196) | 0.980 (0.980-0.980) reached |" in section.body


def test_rounds_are_paired_by_their_number(store: Store) -> None:
    """The raw loop's first round is no partner of the daemon's second."""
    folder = f"end-to-end/{SHAPE}/{GROUPS_KV8.key}"
    for key, rate in (("raw/0", 100.0), ("raw/1", 200.0), ("daemon/1", 196.0)):
        keep(store, f"{folder}/{key}", {"rate": rate})
    [section] = EndToEnd().report(SETTINGS, store)
    assert "| 200 (200-200) | 196 (196-196) | 0.980 (0.980-0.980) (too few rounds) |" in section.body


def test_half_a_pair_is_not_a_row(store: Store) -> None:
    """An interrupted round waits for its partner."""
    keep(store, f"end-to-end/{SHAPE}/{GROUPS_KV8.key}/raw/0", {"rate": 200.0})
    assert list(EndToEnd().report(SETTINGS, store)) == []


@pytest.mark.parametrize(("peak", "cell"), [(700e6, "150 reached"), (900e6, "350 **missed**")])
def test_memory_is_what_comes_on_top(store: Store, peak: float, cell: str) -> None:
    """Of weights (500 MB) and KV in use (50 MB)."""
    result = {"peak_resident": peak, "weights": 500e6, "kv": 50e6, "anonymous": 90e6}
    keep(store, f"memory/{SHAPE}/{GROUPS_KV8.key}", result)
    [section] = Memory().report(SETTINGS, store)
    assert section.body.splitlines()[-1].endswith(f"| {cell} |")


def test_precision_shows_exact_match_for_the_trained_model(store: Store) -> None:
    """And milliseconds per token for one stream."""
    figures = {"decode_1": 500.0, "decode_8": 2000.0, "prefill_512": 51_200.0}
    keep(store, f"precision/{GLM_SMALL}/fp32/0", {"figures": figures})
    keep(store, f"precision-accuracy/{GLM_SMALL}/fp32", {"share": 0.975, "cases": 400, "size": 40_000_000})
    [section] = Precision().report(SETTINGS, store)
    row = "| glm-small, FP32 | 40.0 | 2.00 (2.00-2.00) | 2000 (2000-2000) | 10.0 (10.0-10.0) | 97.50% of 400 |"
    assert row in section.body


def test_precision_says_that_the_trained_model_was_not_there(store: Store) -> None:
    """The table would otherwise look whole without it."""
    figures = {"decode_1": 500.0, "decode_8": 2000.0, "prefill_512": 51_200.0}
    keep(store, f"precision/{SHAPE}/fp32/0", {"figures": figures})
    keep(store, f"precision-accuracy/{SHAPE}/fp32", {"tokens": [], "size": 40_000_000})
    [section] = Precision().report(SETTINGS, store)
    assert section.body.splitlines()[-1].startswith("| glm-small: not measured, its checkpoint was not there |")


def test_fusion_is_relative_to_the_plain_graph(store: Store) -> None:
    """Each form is a multiple of the first."""
    for speed, form in enumerate(FORMS, start=1):
        keep(store, f"fusion/{SHAPE}/{form.key}/0", {"figures": dict.fromkeys(WORKLOADS, 10.0 * speed)})
    [section] = Fusion().report(SETTINGS, store)
    assert "40.0 (40.0-40.0), 4.00x" in section.body.splitlines()[-1]
    assert section.plots[0].series[FORMS[1].title][0] == (2.0, 2.0, 2.0)


def test_bucketing_is_relative_to_padding(store: Store) -> None:
    """Twice the prompts per second of padded batches."""
    ways = {
        name: {"rate": rate, "padding": 0.25, "runs": 8}
        for name, rate in zip(("alone", "padded", "bucketed"), (5.0, 4.0, 8.0), strict=True)
    }
    keep(store, f"bucketing/{SHAPE}/{GROUPS_KV8.key}/0", ways)
    [section] = Bucketing().report(SETTINGS, store)
    assert section.body.splitlines()[-1].endswith("| 8.0 (8.0-8.0) | 2.00 (2.00-2.00) | 25 % | 8 (8-8) |")
    assert len(section.plots[0].series) == 3


def test_prefetch_says_what_preparing_costs(store: Store) -> None:
    """Without that the ratio cannot be understood."""
    result = {"serial": 10.0, "decoupled": 11.0, "preparing_ms": 1.25, "prompt_tokens": 120}
    keep(store, f"prefetch/{GLM_SMALL}/0", result)
    [section] = Prefetch().report(SETTINGS, store)
    assert (
        "| glm-small | 120 | 1.25 (1.25-1.25) | 10.0 (10.0-10.0) | 11.0 (11.0-11.0) | 1.10 (1.10-1.10) |"
        in section.body
    )
