"""Raw results on disk."""

from pathlib import Path

import pytest

from benchmarks import disturbance, fingerprint
from benchmarks.fingerprint import COMPARED, commit_text, sources
from benchmarks.store import MixedResultsError, Result, Store


def from_machine(folder: Path, commit: str = "abc", **facts: str) -> Store:
    """A store on a machine with these facts, `_` for each space in their names."""
    machine = dict.fromkeys(COMPARED, "the same") | {name.replace("_", " "): value for name, value in facts.items()}
    return Store(folder, fingerprint=lambda: {"machine": machine, "commit": commit, "changed": []})


def from_sources(folder: Path, digest: str) -> Store:
    """A store whose results are measured with these sources of ours."""
    machine = dict.fromkeys(COMPARED, "the same")
    return Store(folder, fingerprint=lambda: {"machine": machine, "commit": "a", "changed": [], "sources": digest})


def is_one_page(store: Store) -> bool:
    """Whether all results may stand on one page."""
    try:
        store.check()
    except MixedResultsError:
        return False
    return True


def never() -> Result:
    """A measurement that must not run."""
    raise AssertionError("measured again")


def test_a_result_is_measured_once(tmp_path: Path) -> None:
    """An interrupted run goes on where it stopped."""
    Store(tmp_path).need("race/shape/engine/0", lambda: {"rate": 1.5})
    assert Store(tmp_path).need("race/shape/engine/0", never)["rate"] == 1.5


def test_a_disturbed_measurement_is_taken_again_and_the_least_disturbed_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was measured: the best figure of these three is in the most disturbed take."""
    shares = iter((0.5, 0.2, 0.3))
    monkeypatch.setattr(disturbance.Reading, "others_share", lambda *_: next(shares))
    rates = iter((9.0, 1.0, 2.0))
    result = Store(tmp_path, retakes=2).need("race/0", lambda: {"rate": next(rates)})
    assert (result["rate"], result["others_share"], result["takes"]) == (1.0, 0.2, 3)


def test_a_quiet_measurement_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many times it may be taken."""
    monkeypatch.setattr(disturbance.Reading, "others_share", lambda *_: disturbance.DISTURBED_SHARE)
    rates = iter((1.0,))
    assert Store(tmp_path, retakes=2).need("race/0", lambda: {"rate": next(rates)})["takes"] == 1


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


def test_a_result_says_where_it_comes_from(tmp_path: Path) -> None:
    """Machine, versions, commit, and what was not committed."""
    result = Store(tmp_path).need("race/0", lambda: {"rate": 1.5})
    assert set(result["fingerprint"]) == {"machine", "commit", "changed", "sources"}
    assert set(COMPARED) <= set(result["fingerprint"]["machine"])


def test_results_of_two_machines_are_refused(tmp_path: Path) -> None:
    """The message names the files, the difference and the remedy."""
    for number in range(2):
        from_machine(tmp_path, processor="old").need(f"race/{number}", lambda: {"rate": 1.0})
    from_machine(tmp_path, processor="new").need("race/2", lambda: {"rate": 2.0})
    with pytest.raises(MixedResultsError, match=r"race/2.json: processor new\nRemove those files"):
        Store(tmp_path).check()


def test_results_of_two_onnxruntimes_are_refused(tmp_path: Path) -> None:
    """Before anything is measured: the run would have been for nothing."""
    from_machine(tmp_path, onnxruntime="1.30.0").need("race/0", lambda: {"rate": 1.0})
    newer = from_machine(tmp_path, onnxruntime="1.31.1")
    with pytest.raises(MixedResultsError, match=r"race/0.json: onnxruntime 1.30.0"):
        newer.check(measuring=True)
    newer.check()


def test_a_result_of_unknown_origin_is_refused(tmp_path: Path) -> None:
    """It may come from anywhere."""
    (tmp_path / "memory.json").write_text("{}", encoding="utf-8")
    from_machine(tmp_path).need("race/0", lambda: {"rate": 1.0})
    with pytest.raises(MixedResultsError, match=r"memory.json: measured before results told"):
        from_machine(tmp_path).check(measuring=True)


def test_another_commit_is_no_other_origin(tmp_path: Path) -> None:
    """The page tells all of them; a commit that changes a comment does not undo a measurement."""
    for number, commit in enumerate(("abc", "def")):
        from_machine(tmp_path, commit).need(f"race/{number}", lambda: {"rate": 1.0})
    assert is_one_page(from_machine(tmp_path))


def test_an_engine_that_changed_between_rounds_is_refused(tmp_path: Path) -> None:
    """Another version of a peer is another peer."""
    for number, version in enumerate(("0.3.35", "0.3.36")):
        result = {"facts": {"llama-cpp-python": version}}
        from_machine(tmp_path).need(f"race/gguf/{number}", lambda: result)  # noqa: B023  (called at once)
    with pytest.raises(MixedResultsError, match=r"race/gguf/0.json: .*0.3.35"):
        from_machine(tmp_path).check()


@pytest.mark.parametrize("key", ["race/shape/groups/1", "race/shape/per-token/0"])
def test_results_of_two_sources_are_not_measured_for_one_table(tmp_path: Path, key: str) -> None:
    """Neither a contender's rounds nor two contenders: the code between them was not the same."""
    from_sources(tmp_path, "old").need("race/shape/groups/0", lambda: {"rate": 1.0})
    with pytest.raises(MixedResultsError, match=r"table of race/shape:\n(.*\n)*  sources old: .*groups/0.json\nRemove"):
        from_sources(tmp_path, "new").need(key, never)


def test_a_table_of_two_sources_is_not_written(tmp_path: Path) -> None:
    """However its results came into one folder."""
    for number, name in enumerate(("old", "new")):
        from_sources(tmp_path / name, name).need(f"memory/shape/{number}", lambda: {"peak": 1})
    file = tmp_path / "new" / "memory" / "shape" / "1.json"
    file.rename(tmp_path / "old" / "memory" / "shape" / "1.json")
    with pytest.raises(MixedResultsError, match="different sources of ours"):
        Store(tmp_path / "old").check()


def test_a_peers_results_outlive_our_changes(tmp_path: Path) -> None:
    """Llama.cpp is none the faster for what we changed."""
    from_sources(tmp_path, "old").need("race/shape/gguf/0", lambda: {"rate": 1.0}, ours=False)
    newer = from_sources(tmp_path, "new")
    newer.need("race/shape/groups/0", lambda: {"rate": 2.0})
    assert is_one_page(newer)


def test_another_table_may_be_of_other_sources(tmp_path: Path) -> None:
    """The race of one shape is not set against that of another, nor against memory."""
    for key in ("race/small/groups/0", "race/large/groups/0", "memory/small/groups"):
        from_sources(tmp_path, key).need(key, lambda: {"rate": 1.0})
    assert is_one_page(from_sources(tmp_path, "newest"))


def test_sources_are_told_by_what_they_hold(tmp_path: Path) -> None:
    """Whatever git knows of it; what is built from them or says nothing of them does not count."""
    file = tmp_path / "daemon" / "engine.py"
    file.parent.mkdir()
    file.write_text("rows = 8\n", encoding="utf-8")
    first = sources(tmp_path)
    (tmp_path / "daemon" / "engine.pyc").write_bytes(b"built")
    assert sources(tmp_path) == first
    file.write_text("rows = 9\n", encoding="utf-8")
    assert sources(tmp_path) != first
    file.rename(file.with_name("other.py"))
    assert sources(tmp_path) != first


def test_where_git_fails_nobody_claims_that_nothing_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree without its repository may hold anything."""
    monkeypatch.setattr(fingerprint, "_git", lambda *_: None)
    assert fingerprint.changed() == ["unknown"]
    assert commit_text({"commit": "unknown", "changed": ["unknown"]}).endswith("is not known")


def test_a_commit_with_changes_says_so() -> None:
    """Nobody could measure it again by checking it out."""
    assert commit_text({"commit": "0123456789abcdef", "changed": []}) == "0123456789ab"
    text = commit_text({"commit": "0123456789abcdef", "changed": ["daemon"]})
    assert text == "0123456789ab with uncommitted changes in daemon/"


def test_only_rounds_that_all_have_are_paired(tmp_path: Path) -> None:
    """An interrupted round has no partners."""
    store = from_machine(tmp_path)
    for key in ("a/0", "a/1", "b/1", "b/2"):
        store.need(key, lambda: {"key": key})  # noqa: B023  (called at once)
    assert [[result["key"] for result in rounds] for rounds in store.paired(["a", "b"])] == [["a/1"], ["b/1"]]
