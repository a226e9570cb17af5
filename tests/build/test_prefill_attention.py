"""The two ways through attention over an INT8 KV cache: the FP32 kernel for prefills, the INT8 one for decodes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from autoglmctl.build import attention, graph
from autoglmctl.build.attention import Input
from autoglmctl.build.build import build_model
from autoglmctl.build.options import BuildOptions, KvGranularity, KvOptions, KvPrecision, Precision, WeightOptions
from autoglmctl.build.prefill_attention import prefill_in_float
from autoglmctl.build.runner import GraphRunner, Stream
from autoglmd.model.attention_kernel import attention_kernel
from autoglmd.model.graph_io import LOGITS_INDICES, SHORT_PREFILL_TOKENS
from tests.build.checkpoints import ARCHITECTURES, EVEN, make
from tests.build.test_agreement import OTHERS

TOKENS, CHUNK = 60, 20
SCALE = np.float32(0.037)
BOUND = 1e-3
"""Of the logits' range. The kernels differ in the last bits, and an integer of a later layer may turn by that."""
LONG_ROPE = {
    "head_dim": 16,
    "original_max_position_embeddings": 64,
    "rope_scaling": {"type": "longrope", "short_factor": [1.5] * 8, "long_factor": [3.0] * 8},
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in ARCHITECTURES},
    **{name: (name, special) for name, special in OTHERS.items()},
    "phi3, LongRoPE": ("phi3", LONG_ROPE),
}
PLAIN_LAYERS = {"mistral": 0, "phi3": 0, "gemma2": 0, "gemma3_text": 1}
"""Of two: the others have windows, or cap their scores."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_in_chunks_is_the_prompt_token_by_token(tmp_path: Path, kind: str) -> None:
    """Whatever the attention is like: packed or apart, windows, partial rotation or none, capped scores."""
    runner, ids = _built(tmp_path, kind)
    chunked, stepped = runner.stream(TOKENS), runner.stream(TOKENS)
    for start in range(0, TOKENS, CHUNK):
        in_chunks = chunked.append(ids[start : start + CHUNK])
        by_steps = _steps(stepped, ids[start : start + CHUNK])
        assert np.abs(in_chunks - by_steps).max() < BOUND * np.ptp(by_steps)
    _same_integers(chunked._kv, stepped._kv)


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_prefill_gives_the_bits_of_a_long_one(tmp_path: Path, kind: str) -> None:
    """Of the kernel that writes its scores out. Where attention is not plain, there is one way for both."""
    with attention_kernel(0):
        runner, ids = _built(tmp_path, kind)
    plain = [each for each in _nodes(tmp_path / "out") if each.op_type == "Softmax"]
    assert len(plain) == PLAIN_LAYERS.get(kind, 2)
    long, short = runner.stream(TOKENS), _with_short_prefills(tmp_path / "out", CHUNK).stream(TOKENS)
    for start in range(0, TOKENS, CHUNK):
        chunk = ids[start : start + CHUNK]
        np.testing.assert_array_equal(short.append(chunk), long.append(chunk))
    for name, integers in long._kv.items():
        np.testing.assert_array_equal(short._kv[name], integers)


@pytest.mark.parametrize("short", [0, 20])
def test_rows_of_unequal_length_are_each_row_token_by_token(tmp_path: Path, short: int) -> None:
    """Fresh prompts are computed together, filled up behind; what fills them up is nobody's past."""
    runner, ids = _built(tmp_path, "glm")
    lengths = np.array([20, 7, 13])
    prompts = np.stack([np.where(np.arange(20) < length, np.roll(ids, length)[:20], 0) for length in lengths])
    feed = runner._feed(prompts) | {LOGITS_INDICES: lengths - 1, SHORT_PREFILL_TOKENS: np.array([short])}
    feed["attention_mask"] = (np.arange(20) < lengths[:, None]).astype(np.int64)
    names = ["logits", *(f"present.{name}" for name in runner.kv_types)]
    logits, *caches = runner.session.run(names, feed)
    for row, length in enumerate(lengths):
        alone = runner.stream(20)
        by_steps = _steps(alone, prompts[row, :length])
        assert np.abs(logits[row, 0] - by_steps).max() < BOUND * np.ptp(by_steps)
        held = {name: cache[row : row + 1, :, :length] for name, cache in zip(runner.kv_types, caches, strict=True)}
        _same_integers(held, {name: array[:, :, :length] for name, array in alone._kv.items()})


@pytest.mark.parametrize("without", [(), ("bias",), ("sink",)], ids=["bias and sink", "sink", "bias"])
def test_what_is_added_to_the_scores_reaches_both_kernels(without: tuple[str, ...]) -> None:
    """A bias per position, and a sink per head."""
    plain, both = _attention(without), _attention(without)
    assert prefill_in_float(both) is None
    random = np.random.default_rng(0)
    feed = {
        "query": random.standard_normal((1, 5, 8 * 16)).astype(np.float32),
        "past.key": random.integers(-99, 99, (1, 2, 9, 16)).astype(np.int8),
        "past.value": random.integers(-99, 99, (1, 2, 9, 16)).astype(np.int8),
        "bias": random.standard_normal((1, 4, 5, 9)).astype(np.float32),
        "sink": random.standard_normal(4).astype(np.float32),
        "last": np.array([8], np.int32),
        "total": np.array(9, np.int32),
    }
    given = {name: value for name, value in feed.items() if name not in without}
    of_int8, of_float = (_session(each).run(None, given) for each in (plain, both))
    np.testing.assert_allclose(of_float[0], of_int8[0], atol=1e-5)
    for one, other in zip(of_float[1:], of_int8[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_integers_are_those_of_the_int8_kernel_on_the_border_between_two_as_well() -> None:
    """Halves, and what lies next to them: the same product with the same reciprocal, rounded to even."""
    plain, both = _attention(("bias", "sink")), _attention(("bias", "sink"))
    prefill_in_float(both)
    halves = (np.arange(-140, 140, dtype=np.float32) + np.float32(0.5)) * SCALE
    values = np.concatenate([np.nextafter(halves, -np.inf), halves, np.nextafter(halves, np.inf)])
    query = np.resize(values, (1, 70, 8 * 16)).astype(np.float32)
    past = np.zeros((1, 2, 70, 16), np.int8)
    feed = {"query": query, "past.key": past, "past.value": past, "last": np.array([69], np.int32)}
    feed["total"] = np.array(70, np.int32)
    of_int8, of_float = (_session(each).run(None, feed) for each in (plain, both))
    for one, other in zip(of_float[1:], of_int8[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_attention_that_is_not_known_keeps_its_kernel() -> None:
    """Said in the report, instead of a second way that computes something else."""
    model = _attention(())
    (node,) = attention.layers(model)
    node.replace_input_with(Input.POSITIONS, node.inputs[Input.LENGTHS])
    assert "inputs that are not known" in str(prefill_in_float(model))
    assert [each.op_type for each in model.graph] == [attention.OPERATOR]


def test_one_scale_for_a_whole_tensor_will_do(tmp_path: Path) -> None:
    """It widens every head alike."""
    runner, ids = _built(tmp_path, "glm", KvGranularity.PER_TENSOR)
    chunked, stepped = runner.stream(TOKENS), runner.stream(TOKENS)
    chunked.append(ids[:CHUNK])
    in_chunks, by_steps = chunked.append(ids[CHUNK:TOKENS]), _steps(stepped, ids[:TOKENS])
    assert np.abs(in_chunks - by_steps).max() < BOUND * np.ptp(by_steps)
    _same_integers(chunked._kv, stepped._kv)


def test_a_prefill_writes_its_own_positions_only(tmp_path: Path) -> None:
    """Memory behind a row's end is not touched: it would be committed, or be somebody else's."""
    runner, ids = _built(tmp_path, "glm")
    stream = runner.stream(2 * TOKENS)
    for array in stream._kv.values():
        array[:] = 77
    stream.append(ids[:CHUNK])
    stream.append(ids[CHUNK:TOKENS])
    for array in stream._kv.values():
        assert (array[:, :, TOKENS:] == 77).all()
        assert not (array[:, :, :TOKENS] == 77).all(axis=(0, 1, 3)).any()


def test_a_cache_that_grows_is_served_too(tmp_path: Path) -> None:
    """Runtimes that do not share past and present begin with an empty cache."""
    runner, ids = _built(tmp_path, "llama")
    whole = runner._feed(ids[None])
    empty = {name: each[:, :, :0] if name.startswith("past") else each for name, each in whole.items()}
    (by_kernel,), (by_cache,) = (runner.session.run(["logits"], feed) for feed in (empty, whole))
    assert np.abs(by_kernel - by_cache).max() < BOUND * np.ptp(by_cache)


def _built(
    folder: Path, kind: str, granularity: KvGranularity = KvGranularity.PER_CHANNEL
) -> tuple[GraphRunner, np.ndarray]:
    """FP32 weights, so that nothing but attention rounds; and a prompt."""
    model_type, special = KINDS[kind]
    source = make(folder / "source", model_type, EVEN | special)
    kv = KvOptions(KvPrecision.INT8, granularity)
    options = BuildOptions(source.folder, folder / "out", WeightOptions(Precision.FP32), kv, True, measure=False)
    assert not build_model(options, lambda *_: None).notes
    return GraphRunner(folder / "out", 1), np.resize(source.ids, TOKENS)


def _with_short_prefills(folder: Path, tokens: int) -> GraphRunner:
    """The same graph, with prefills of so many tokens short for whoever does not say."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    default = next(each for each in model.graph.initializer if each.name == SHORT_PREFILL_TOKENS)
    default.CopyFrom(numpy_helper.from_array(np.array([tokens]), SHORT_PREFILL_TOKENS))
    onnx.save(model, folder / "model.onnx")
    with attention_kernel(0):
        return GraphRunner(folder, 1)


def _nodes(folder: Path) -> Iterator[NodeProto]:
    """Those of the graph and of all branches in it."""
    waiting = [onnx.load(folder / "model.onnx", load_external_data=False).graph]
    while waiting:
        for node in waiting.pop().node:
            yield node
            waiting += [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def _attention(without: tuple[str, ...]) -> ir.Model:
    """One attention: 4 heads and 2 KV heads of 16, packed, not turned."""
    given = {name: "" if name in without else name for name in ("bias", "sink")}
    inputs = ["query", "", "", "past.key", "past.value", "last", "total", "", "", "", given["bias"], given["sink"]]
    settings = {"num_heads": 4, "kv_num_heads": 2, "kv_cache_bit_width": 8}
    kinds = {"k_quant_type": "PER_TENSOR", "v_quant_type": "PER_TENSOR"}
    outputs = ["y", "present.key", "present.value"]
    node = helper.make_node(
        attention.OPERATOR, [*inputs, "scale", "scale"], outputs, domain=graph.CONTRIB, **settings, **kinds
    )
    info, cache = helper.make_tensor_value_info, [1, 2, "room", 16]
    entries = [
        info("query", TensorProto.FLOAT, [1, "new", 128]),
        info("past.key", TensorProto.INT8, cache),
        info("past.value", TensorProto.INT8, cache),
        info("last", TensorProto.INT32, [1]),
        info("total", TensorProto.INT32, []),
        info("bias", TensorProto.FLOAT, [1, 4, "new", "total"]),
        info("sink", TensorProto.FLOAT, [4]),
    ]
    results = [info("y", TensorProto.FLOAT, [1, "new", 64])]
    results += [info(name, TensorProto.INT8, cache) for name in outputs[1:]]
    scale = numpy_helper.from_array(np.array([SCALE], np.float32), "scale")
    made = helper.make_graph([node], "one", [e for e in entries if e.name not in without], results, [scale])
    opsets = [helper.make_opsetid("", 22), helper.make_opsetid(graph.CONTRIB, 1)]
    return ir.from_proto(helper.make_model(made, opset_imports=opsets, ir_version=10))


def _session(model: ir.Model) -> ort.InferenceSession:
    return ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])


def _steps(stream: Stream, ids: np.ndarray) -> np.ndarray:
    for token in ids:
        logits = stream.step(np.array([token]))
    return logits[0]


def _same_integers(ones: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> None:
    """All but the few that lie on the border between two, and that a last bit before them has moved."""
    for name, integers in ones.items():
        apart = np.abs(integers.astype(int) - others[name])
        assert apart.max() <= 1, name
        assert np.mean(apart > 0) < 0.01, name
