"""The two ways to compute with INT8 weights, and what is special about each."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from autoglmctl.build import graph, groups, per_token
from autoglmctl.build.build import build_model
from autoglmctl.build.export import export_float
from autoglmctl.build.options import BuildOptions, KvOptions, KvPrecision, Scheme, WeightOptions
from autoglmctl.build.reference import check_against_transformers
from autoglmctl.build.runner import GraphRunner
from autoglmctl.build.source import open_source
from autoglmctl.build.staging import stage
from autoglmd.errors.model import ModelUnsupportedError
from tests.build.checkpoints import EVEN, ODD, SCHEMES, Checkpoint, make
from tests.build.conftest import MakeCheckpoint
from tests.support.make_tiny_models import make_checkpoint, write_tokenizer

FLOAT_KV = KvOptions(KvPrecision.FP32)
PER_TOKEN = WeightOptions(scheme=Scheme.PER_TOKEN)
WEIGHT = np.random.default_rng(1).standard_normal((100, 12)).astype(np.float32)


@pytest.mark.parametrize("limit", [127, 63])
def test_groups_restore_the_weight_to_half_a_step(limit: int) -> None:
    """Symmetric rounding; the padding of the last group restores to zero."""
    integers, scales = groups.quantize(WEIGHT, 32, limit)
    assert integers.shape == (12, 4, 32)
    assert np.abs(integers.astype(int) - 128).max() <= limit
    restored = ((integers.astype(np.float32) - 128) * scales[:, :, None]).reshape(12, -1)
    assert (restored[:, 100:] == 0).all()
    assert (np.abs(restored[:, :100].T - WEIGHT) <= scales.max() * 0.5001).all()


@pytest.mark.parametrize("limit", [127, 63])
def test_per_channel_weights_restore_to_half_a_step(limit: int) -> None:
    """7 bits (63) keep sums of two u8 x s8 products within 16 bits: 2 * 255 * 63 < 32768."""
    integers, scales = per_token.quantize(WEIGHT, limit)
    assert integers.dtype == np.int8
    assert np.abs(integers.astype(int)).max() == limit
    assert (np.abs(integers * scales - WEIGHT) <= scales * 0.5001).all()


@pytest.mark.parametrize(
    ("inputs", "wanted", "group"),
    [(256, 128, 128), (192, 128, 64), (96, 128, 32), (72, 128, 16), (100, 64, 16), (4096, 32, 32)],
)
def test_the_largest_group_that_divides_is_taken(inputs: int, wanted: int, group: int) -> None:
    """Groups never straddle rows; where nothing divides, the smallest group wastes the least padding."""
    assert groups.workable_group(inputs, wanted) == group


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_row_does_not_depend_on_its_batch(checkpoint: MakeCheckpoint, tmp_path: Path, scheme: Scheme) -> None:
    """Different prompts side by side give, bit for bit, what each gives alone."""
    source = checkpoint("glm", "even")
    runner = _build(source, tmp_path / "out", WeightOptions(scheme=scheme, group_size=64), KvOptions())
    ids = np.random.default_rng(2).integers(3, 512, (5, 9))
    together = runner.batch_logits(ids)
    for row in range(5):
        np.testing.assert_array_equal(together[row], runner.logits(ids[row]))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_chunks_of_a_prompt_give_what_the_whole_gives(
    checkpoint: MakeCheckpoint, tmp_path: Path, scheme: Scheme
) -> None:
    """Bit for bit, as long as no chunk is a single token, for which attention has another kernel."""
    source = checkpoint("llama", "even")
    runner = _build(source, tmp_path / "out", WeightOptions(scheme=scheme, group_size=64), KvOptions())
    whole = runner.stream(source.ids.size).prefill(source.ids)
    for chunk in (7, 9, 16):
        stream = runner.stream(source.ids.size)
        for start in range(0, source.ids.size, chunk):
            last = stream.append(source.ids[start : start + chunk])
        np.testing.assert_array_equal(last, whole)


def test_a_row_of_zeros_gives_zeros_not_nan(tmp_path: Path) -> None:
    """A token whose embedding is all zero has no largest value to divide by."""
    import torch
    from safetensors.torch import load_file, save_file

    source = make(tmp_path / "source", "llama", EVEN)
    weights = load_file(source.folder / "model.safetensors")
    weights["model.embed_tokens.weight"][9] = torch.zeros(64)
    save_file(weights, source.folder / "model.safetensors", metadata={"format": "pt"})
    logits = _build(source, tmp_path / "out", PER_TOKEN, FLOAT_KV).logits(np.array([9, 9, 20]))
    assert (logits[0] == 0).all()
    assert np.isfinite(logits).all()


def test_one_input_is_quantized_once(checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    """Gate and up share their input's integers: per layer qkv, o, gate and up, down; and the head."""
    source = checkpoint("glm", "even")
    _build(source, tmp_path / "out", PER_TOKEN, FLOAT_KV)
    counts = _operators(tmp_path / "out")
    assert counts["QuantizeLinear"] == 2 * 4 + 1
    assert counts["MatMulIntegerToFloat"] == 2 * 5 + 1
    assert "MatMul" not in counts


def test_named_layers_stay_in_groups(checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    """The head, and whatever a pattern matches, keep the more accurate operator."""
    source = checkpoint("glm", "even")
    weights = WeightOptions(scheme=Scheme.PER_TOKEN, keep_in_groups=("lm_head", "*.down_proj"), group_size=32)
    _build(source, tmp_path / "out", weights, FLOAT_KV)
    kept = [node.name for node in graph.nodes_of_type(graph.load(tmp_path / "out"), "MatMulNBits")]
    assert [name.split("/")[-2] for name in kept if name] == ["down_proj", "down_proj", "lm_head"]


def test_the_embedding_table_takes_a_byte_per_value(checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    """GatherBlockQuantized reads it; the float table is gone from the file."""
    source = checkpoint("llama", "even")
    _build(source, tmp_path / "out", WeightOptions(group_size=32), FLOAT_KV)
    assert _operators(tmp_path / "out")["GatherBlockQuantized"] == 1
    initializers = graph.load(tmp_path / "out").graph.initializers
    tables = [value for name, value in initializers.items() if name.startswith("embed_tokens.weight_q8")]
    assert [graph.tensor_of(value).dtype for value in tables] == [ir.DataType.UINT8]
    assert not any(graph.tensor_of(value).nbytes == 512 * 64 * 4 for value in initializers.values())


def test_a_width_that_nothing_divides_is_said_in_the_report(tmp_path: Path) -> None:
    """Padded groups and a float embedding table are worth knowing about."""
    source = make(tmp_path / "source", "llama", ODD | {"head_dim": 48})
    report = build_model(BuildOptions(source.folder, tmp_path / "out", kv=FLOAT_KV, measure=False), lambda _s, _p: None)
    notes = "\n".join(report.notes)
    assert "72 inputs are not a multiple of 16: groups of 16, the last one padded" in notes
    assert "the embedding's width 72 is not a multiple of 16: kept in float32" in notes


def test_tied_embeddings_work(tmp_path: Path) -> None:
    """One float table for both ends becomes two of integers, and nothing of the float one is kept."""
    source = make(tmp_path / "source", "qwen2", EVEN | {"tie_word_embeddings": True})
    for scheme in SCHEMES:
        weights = WeightOptions(scheme=scheme, group_size=32)
        logits = _build(source, tmp_path / scheme.value, weights, FLOAT_KV).logits(source.ids)
        assert np.corrcoef(logits.ravel(), source.logits.ravel())[0, 1] > 0.99
        assert _operators(tmp_path / scheme.value)["GatherBlockQuantized"] == 1
        initializers = graph.load(tmp_path / scheme.value).graph.initializers.values()
        assert not any(tensor.nbytes == 512 * 64 * 4 for tensor in map(graph.tensor_of, initializers))


def test_reduce_range_builds_seven_bit_weights(checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    """Every integer weight of the per-token scheme is within 63."""
    source = checkpoint("glm", "even")
    weights = WeightOptions(scheme=Scheme.PER_TOKEN, reduce_range=True)
    _build(source, tmp_path / "out", weights, FLOAT_KV)
    initializers = graph.load(tmp_path / "out").graph.initializers
    integers = [graph.tensor_of(value).numpy() for name, value in initializers.items() if name.endswith("_i8")]
    assert len(integers) == 11
    assert all(np.abs(array.astype(int)).max() == 63 for array in integers)


def test_a_bfloat16_checkpoint_builds(tmp_path: Path) -> None:
    """Checkpoints come in bfloat16; the graph computes in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "source"
    source = make(folder, "glm", EVEN)
    make_checkpoint("glm", EVEN, folder)
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    logits = _build(source, tmp_path / "out", WeightOptions(group_size=32), FLOAT_KV).logits(source.ids)
    assert np.corrcoef(logits.ravel(), source.logits.ravel())[0, 1] > 0.99


def test_a_bfloat16_checkpoint_is_compared_in_float32(tmp_path: Path) -> None:
    """The export keeps its bits exactly, so the comparison with transformers is as strict as for any other."""
    import torch
    from transformers import AutoModelForCausalLM

    source = make(tmp_path / "source", "glm", EVEN)
    AutoModelForCausalLM.from_pretrained(source.folder, dtype=torch.bfloat16).save_pretrained(tmp_path / "half")
    write_tokenizer("sentencepiece", tmp_path / "half")
    stage(open_source(tmp_path / "half"), tmp_path / "staged", None)
    export_float(tmp_path / "staged", tmp_path / "float")
    assert check_against_transformers(tmp_path / "staged", tmp_path / "float", source.ids) < 1e-5
    with pytest.raises(ModelUnsupportedError, match="not the model"):
        check_against_transformers(source.folder, tmp_path / "float", source.ids)


def _build(source: Checkpoint, output: Path, weights: WeightOptions, kv: KvOptions) -> GraphRunner:
    options = BuildOptions(source.folder, output, weights, kv, prune_lm_head=False, measure=False)
    build_model(options, lambda _step, _part: None)
    return GraphRunner(output, 1)


def _operators(folder: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in graph.load(folder).graph:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts
