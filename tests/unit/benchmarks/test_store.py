"""Raw results on disk."""

from pathlib import Path

import pytest

from benchmarks.store import Result, Store


def never() -> Result:
    """A measurement that must not run."""
    raise AssertionError("measured again")


def test_a_result_is_measured_once(tmp_path: Path) -> None:
    """An interrupted run goes on where it stopped."""
    Store(tmp_path).need("race/shape/engine/0", lambda: {"rate": 1.5})
    assert Store(tmp_path).need("race/shape/engine/0", never)["rate"] == 1.5


def test_a_failed_measurement_leaves_nothing(tmp_path: Path) -> None:
    """The next run measures it again."""
    store = Store(tmp_path)
    with pytest.raises(AssertionError):
        store.need("race/0", never)
    assert store.get("race/0") is None


def test_rounds_come_in_numerical_order(tmp_path: Path) -> None:
    """Round 10 is paired with round 10 of the others, not with round 2."""
    store = Store(tmp_path)
    for number in (10, 2, 0):
        store.need(f"race/shape/engine/{number}", lambda: {"round": number})  # noqa: B023  (called at once)
    assert [result["round"] for result in store.under("race/shape/engine").values()] == [0, 2, 10]


def test_a_key_may_hold_dots(tmp_path: Path) -> None:
    """Shapes are called llama-0.43b; the part behind the dot is no file type."""
    store = Store(tmp_path)
    store.need("memory/llama-0.43b/groups", lambda: {"peak": 1})
    store.need("same-model/glm-edge-1.5b", lambda: {"peak": 2})
    assert store.get("memory/llama-0.43b/groups") is not None
    assert list(store.under("same-model")) == ["glm-edge-1.5b"]


def test_an_unknown_folder_is_empty(tmp_path: Path) -> None:
    """What has not been measured is left out of the page."""
    assert Store(tmp_path).under("race") == {}
