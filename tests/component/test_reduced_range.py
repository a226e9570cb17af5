"""7-bit weights where 8-bit products would saturate: who needs them, and that they are made."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from autoglmd.errors.model import ModelCorruptError, ModelUnsupportedError
from autoglmd.host.facts import HostFacts, read_facts
from autoglmd.model.bundle import read_bundle
from autoglmd.model.device import CPU
from autoglmd.model.onnx_file import FLOAT, INT8, read_graph
from autoglmd.model.prepare import DATA_FILE, GRAPH_FILE, KEY_FILE, prepare
from autoglmd.model.reduced_range import SAFE_MAGNITUDE, copy_reduced, needs_reducing, saturates

MODELS = Path(__file__).resolve().parents[1] / "fixtures" / "models"
PER_TOKEN = MODELS / "tiny-per-token" / "model.onnx"


def _facts(machine: str, features: str) -> HostFacts:
    return dataclasses.replace(read_facts(), machine=machine, cpu_features=tuple(sorted(features.split())))


HASWELL = _facts("x86_64", "sse4_1 avx avx2 fma")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (HASWELL, True),
        (_facts("x86_64", "avx2 avx512f avx512bw"), True),
        (_facts("x86_64", "avx2 avx512f avx512_vnni"), False),
        (_facts("x86_64", "avx2 avx_vnni"), False),
        (_facts("x86_64", "sse4_1"), False),
        (_facts("aarch64", "asimd"), False),
    ],
)
def test_only_x86_with_avx2_and_without_vnni_saturates(facts: HostFacts, expected: bool) -> None:
    """As seen with onnxruntime 1.31 on emulated processors: Haswell is wrong, Nehalem and VNNI are right."""
    assert saturates(facts) is expected


def test_a_graph_files_operators_and_weights_are_read() -> None:
    """Each W8A8 product of the fixture: int8 weights with float scales of one per output."""
    content = read_graph(PER_TOKEN)
    products = [operator for operator in content.operators if operator.kind == "MatMulIntegerToFloat"]
    assert len(products) == 11
    for product in products:
        weight, scales = content.tensors[product.inputs[1]], content.tensors[product.inputs[3]]
        assert (weight.data_type, scales.data_type) == (INT8, FLOAT)
        assert weight.length % (scales.length // 4) == 0
    assert sum(t.length for t in content.tensors.values()) <= (PER_TOKEN.parent / "model.onnx.data").stat().st_size


@pytest.mark.parametrize("damage", [b"\xff" * 40, b"\x3a\xff\xff\xff\x7fabc", b"\x3b"])
def test_what_is_no_graph_is_said_to_be_corrupt(tmp_path: Path, damage: bytes) -> None:
    """Endless varints, lengths beyond the end, unknown wire types."""
    (tmp_path / "model.onnx").write_bytes(damage)
    with pytest.raises(ModelCorruptError, match="is not an ONNX model"):
        read_graph(tmp_path / "model.onnx")


def test_weights_outside_the_folder_are_refused(tmp_path: Path) -> None:
    """A graph must not lead us to files elsewhere."""
    damaged = PER_TOKEN.read_bytes().replace(b"model.onnx.data", b"../../etc/shado")
    (tmp_path / "model.onnx").write_bytes(damaged)
    with pytest.raises(ModelCorruptError, match="not beside the graph"):
        read_graph(tmp_path / "model.onnx")


def test_halved_weights_are_safe_and_mean_the_same(tmp_path: Path) -> None:
    """The largest is 64, twice the scale restores to half a (doubled) step, and once is enough."""
    assert needs_reducing(PER_TOKEN)
    copy = copy_reduced(PER_TOKEN, tmp_path)
    assert not needs_reducing(copy)
    before, after = _restored(PER_TOKEN), _restored(copy)
    for name, (integers, scale) in after.items():
        assert np.abs(integers).max() <= SAFE_MAGNITUDE
        old_integers, old_scale = before[name]
        assert (np.abs(integers * scale - old_integers * old_scale) <= old_scale * 1.0001).all()


def test_models_in_groups_have_nothing_to_reduce() -> None:
    """MatMulNBits computes rightly everywhere."""
    assert not needs_reducing(MODELS / "tiny-int8" / "model.onnx")


def test_preparing_on_such_a_processor_reduces_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prepared model has 7-bit weights and like logits (random weights: 0.126 apart); the bundle keeps its own."""
    bundle = read_bundle(MODELS / "tiny-per-token")
    exact = prepare(bundle, tmp_path / "exact", (CPU,))
    monkeypatch.setattr("autoglmd.model.prepare.read_facts", lambda: HASWELL)
    reduced = prepare(bundle, tmp_path / "reduced", (CPU,))
    assert not needs_reducing(reduced.graph)
    assert needs_reducing(bundle.graph)
    assert sorted(path.name for path in reduced.folder.iterdir()) == [GRAPH_FILE, DATA_FILE, KEY_FILE]
    expected, logits = _logits(exact.graph), _logits(reduced.graph)
    assert 0 < np.square(logits - expected).mean() < 0.15**2 * np.square(expected).mean()


def test_weights_that_cannot_be_changed_are_refused(tmp_path: Path) -> None:
    """Better no model than wrong answers; the message names the build option."""
    folder = Path(shutil.copytree(PER_TOKEN.parent, tmp_path / "bundle"))
    content = (folder / "model.onnx").read_bytes()
    # The builder's name for the data, changed in length-preserving fashion, hides the external location.
    (folder / "model.onnx").write_bytes(content.replace(b"location", b"locatiom"))
    with pytest.raises(ModelUnsupportedError, match="reduce-range"):
        needs_reducing(folder / "model.onnx")


def _restored(graph: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    content = read_graph(graph)
    found = {}
    for operator in content.operators:
        if operator.kind == "MatMulIntegerToFloat":
            weight, scales = content.tensors[operator.inputs[1]], content.tensors[operator.inputs[3]]
            steps = np.fromfile(graph.parent / scales.file, np.float32, scales.length // 4, offset=scales.offset)
            integers = np.fromfile(graph.parent / weight.file, np.int8, weight.length, offset=weight.offset)
            found[weight.name] = (integers.reshape(-1, steps.size).astype(np.float32), steps)
    return found


def _logits(graph: Path) -> np.ndarray:
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(graph), settings, providers=[CPU])
    ids = np.arange(3, 20, dtype=np.int64)[None]
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for entry in session.get_inputs():
        if entry.name.startswith("past_key_values."):
            feed[entry.name] = np.zeros((1, 2, 0, 32), dtype=np.float32)
    logits: np.ndarray = session.run(["logits"], feed)[0]
    return logits
