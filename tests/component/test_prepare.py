"""Preparing a model: the same answers, made once, made again when anything it depends on changes."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from autoglmd.errors.base import HostError
from autoglmd.errors.model import ModelCorruptError
from autoglmd.errors.request import NotSupportedError
from autoglmd.host.facts import read_facts
from autoglmd.model.bundle import Bundle, read_bundle
from autoglmd.model.device import CPU
from autoglmd.model.prepare import (
    DATA_FILE,
    GRAPH_FILE,
    KEY_FILE,
    discard_prepared,
    find_prepared,
    key_of,
    prepare,
)

MODELS = Path(__file__).resolve().parents[1] / "fixtures" / "models"
CPU_ONLY = (CPU,)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Return a bundle of its own, which a test may damage."""
    return read_bundle(Path(shutil.copytree(MODELS / "tiny-int8", tmp_path / "bundle")))


@pytest.mark.parametrize("name", ["tiny-fp32", "tiny-int8", "tiny-per-token", "tiny-unpruned"])
def test_a_prepared_model_gives_the_same_logits_bit_for_bit(name: str, tmp_path: Path) -> None:
    """Packing weights ahead changes where they lie, not what comes out."""
    shipped = read_bundle(MODELS / name)
    prepared = prepare(shipped, tmp_path / "prepared", CPU_ONLY)
    np.testing.assert_array_equal(_logits(prepared.graph, optimize=False), _logits(shipped.graph, optimize=True))
    assert _defaults(prepared.graph) == _defaults(shipped.graph)


def _defaults(graph: Path) -> list[str]:
    """Inputs that need not be given, such as which column's logits to compute."""
    session = ort.InferenceSession(str(graph), providers=[CPU])
    return [entry.name for entry in session.get_overridable_initializers()]


def test_a_prepared_model_is_found_again(bundle: Bundle, tmp_path: Path) -> None:
    """What was prepared for this bundle and host is used, not made again."""
    folder = tmp_path / "state" / "prepared"
    assert find_prepared(bundle, folder, CPU_ONLY) is None
    made = prepare(bundle, folder, CPU_ONLY)
    assert find_prepared(bundle, folder, CPU_ONLY) == made


def test_another_bundle_makes_a_prepared_model_stale(bundle: Bundle, tmp_path: Path) -> None:
    """New weights under the same name must not meet the old packed ones."""
    prepare(bundle, tmp_path / "prepared", CPU_ONLY)
    other = dataclasses.replace(bundle, version="0123456789ab")
    assert find_prepared(other, tmp_path / "prepared", CPU_ONLY) is None


def test_a_bundle_rebuilt_in_place_makes_a_prepared_model_stale(bundle: Bundle, tmp_path: Path) -> None:
    """Its version may be the same, because that reads samples of large files; sizes and times tell."""
    prepare(bundle, tmp_path / "prepared", CPU_ONLY)
    bundle.graph.write_bytes(bundle.graph.read_bytes())
    assert read_bundle(bundle.folder) == bundle
    assert find_prepared(bundle, tmp_path / "prepared", CPU_ONLY) is None


@pytest.mark.parametrize(
    "field", ["bundle_files", "reduced_range", "onnxruntime", "cpu_features", "machine", "session_options", "format"]
)
def test_any_difference_in_the_key_makes_a_prepared_model_stale(bundle: Bundle, tmp_path: Path, field: str) -> None:
    """Another onnxruntime, processor or format packs weights in another way."""
    folder = tmp_path / "prepared"
    prepare(bundle, folder, CPU_ONLY)
    content = json.loads((folder / KEY_FILE).read_text())
    content["key"][field] = "another"
    (folder / KEY_FILE).write_text(json.dumps(content))
    assert find_prepared(bundle, folder, CPU_ONLY) is None


def test_other_processor_features_give_another_key(bundle: Bundle) -> None:
    """A disk moved to another box finds its prepared models stale."""
    facts = read_facts()
    moved = dataclasses.replace(facts, cpu_features=(*facts.cpu_features, "avx1024"))
    assert key_of(bundle, facts) != key_of(bundle, moved)


@pytest.mark.parametrize("name", [KEY_FILE, GRAPH_FILE, DATA_FILE])
def test_a_prepared_folder_that_lacks_a_file_is_not_used(bundle: Bundle, tmp_path: Path, name: str) -> None:
    """Somebody cleaned up; the daemon makes it again instead of failing to load."""
    folder = tmp_path / "prepared"
    prepare(bundle, folder, CPU_ONLY)
    (folder / name).unlink()
    assert find_prepared(bundle, folder, CPU_ONLY) is None


@pytest.mark.parametrize("name", [GRAPH_FILE, DATA_FILE])
def test_a_prepared_folder_with_a_torn_file_is_not_used(bundle: Bundle, tmp_path: Path, name: str) -> None:
    """It is made again, instead of failing at every start."""
    folder = tmp_path / "prepared"
    prepare(bundle, folder, CPU_ONLY)
    os.truncate(folder / name, 100)
    assert find_prepared(bundle, folder, CPU_ONLY) is None
    made = prepare(bundle, folder, CPU_ONLY)
    assert find_prepared(bundle, folder, CPU_ONLY) == made


def test_a_discarded_prepared_model_can_be_made_again(bundle: Bundle, tmp_path: Path) -> None:
    """Also after a crash in the middle of discarding, which leaves the key and nothing else."""
    folder = tmp_path / "prepared"
    prepare(bundle, folder, CPU_ONLY)
    discard_prepared(folder)
    assert find_prepared(bundle, folder, CPU_ONLY) is None
    prepare(bundle, folder, CPU_ONLY)
    (folder / GRAPH_FILE).unlink()
    (folder / DATA_FILE).unlink()
    assert prepare(bundle, folder, CPU_ONLY).graph.is_file()


def test_what_people_keep_is_not_replaced(bundle: Bundle, tmp_path: Path) -> None:
    """A folder with anything else in it, or a file: refused by name, and as it was."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat").touch()
    for target in (tmp_path / "photos", tmp_path / "photos" / "cat"):
        with pytest.raises(HostError, match="holds no prepared model"):
            prepare(bundle, target, CPU_ONLY)
    assert [path.name for path in (tmp_path / "photos").rglob("*") if not path.name.startswith(".")] == ["cat"]


@pytest.mark.parametrize("place", [".", "inside", "..", "inside/../."])
def test_a_bundle_is_not_prepared_over_itself(bundle: Bundle, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor into itself, nor over the folder that holds it, however the place is written."""
    monkeypatch.chdir(bundle.folder)
    before = sorted(bundle.folder.iterdir())
    with pytest.raises(HostError, match="is the bundle, lies in it or holds it"):
        prepare(bundle, Path(place), CPU_ONLY)
    assert sorted(bundle.folder.iterdir()) == before


def test_an_empty_folder_may_be_prepared_into(bundle: Bundle, tmp_path: Path) -> None:
    """Somebody made it for that."""
    (tmp_path / "prepared").mkdir()
    assert prepare(bundle, tmp_path / "prepared", CPU_ONLY).graph.is_file()


def test_an_unreadable_key_is_the_same_as_none(bundle: Bundle, tmp_path: Path) -> None:
    """A torn or foreign prepared.json must not stop a start."""
    folder = tmp_path / "prepared"
    prepare(bundle, folder, CPU_ONLY)
    for content in ("{", "[]", '{"key": 1}'):
        (folder / KEY_FILE).write_text(content)
        assert find_prepared(bundle, folder, CPU_ONLY) is None


def test_preparing_again_replaces_the_old_folder(bundle: Bundle, tmp_path: Path) -> None:
    """Nothing of the stale one stays behind."""
    folder = tmp_path / "prepared"
    folder.mkdir()
    for name in ("stale", KEY_FILE):
        (folder / name).touch()
    prepare(bundle, folder, CPU_ONLY)
    assert sorted(path.name for path in folder.iterdir()) == [GRAPH_FILE, DATA_FILE, KEY_FILE]


def test_a_corrupt_graph_is_named_and_the_old_folder_stays(bundle: Bundle, tmp_path: Path) -> None:
    """A failure leaves what was there before."""
    folder = tmp_path / "prepared"
    made = prepare(bundle, folder, CPU_ONLY)
    before = made.graph.read_bytes()
    bundle.graph.write_bytes(b"not a graph")
    with pytest.raises(ModelCorruptError, match=r"model\.onnx cannot be prepared"):
        prepare(bundle, folder, CPU_ONLY)
    assert made.graph.read_bytes() == before


def test_a_full_disk_is_said_before_anything_is_written(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the numbers; no half-made folder is left."""
    monkeypatch.setattr("autoglmd.model.prepare.NEEDED_TIMES", 1e12)
    with pytest.raises(HostError, match=r"MiB are needed, \d+ MiB are free"):
        prepare(bundle, tmp_path / "prepared", CPU_ONLY)
    assert not (tmp_path / "prepared").exists()


def test_only_the_cpu_has_prepared_models(bundle: Bundle, tmp_path: Path) -> None:
    """A GPU loads the bundle as shipped; asking is an error, looking finds nothing."""
    gpu = ("CUDAExecutionProvider", CPU)
    with pytest.raises(NotSupportedError, match="CUDAExecutionProvider"):
        prepare(bundle, tmp_path / "prepared", gpu)
    prepare(bundle, tmp_path / "prepared", CPU_ONLY)
    assert find_prepared(bundle, tmp_path / "prepared", gpu) is None


def _logits(graph: Path, *, optimize: bool) -> np.ndarray:
    settings = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    settings.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(graph), settings, providers=[CPU])
    ids = np.arange(3, 20, dtype=np.int64)[None]
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for entry in session.get_inputs():
        if entry.name.startswith("past_key_values."):
            kind = np.int8 if entry.type == "tensor(int8)" else np.float32
            feed[entry.name] = np.zeros((1, 2, 0, 32), dtype=kind)
    logits: np.ndarray = session.run(["logits"], feed)[0]
    return logits
