"""The two ways through attention over an INT8 KV cache: the FP32 kernel for prefills, the INT8 one for decodes."""

from pathlib import Path

import numpy as np
import pytest

from autoglmctl.build.build import build_model
from autoglmctl.build.options import BuildOptions, KvGranularity, KvOptions, KvPrecision, Precision, WeightOptions
from autoglmctl.build.runner import GraphRunner, Stream
from tests.build.checkpoints import ARCHITECTURES, EVEN, make
from tests.build.test_agreement import OTHERS

TOKENS, CHUNK = 60, 20
BOUND = 1e-3
"""Of the logits' range. The kernels differ in the last bits, and an integer of a later layer may turn by that."""


@pytest.mark.parametrize("model_type", [*ARCHITECTURES, *OTHERS])
def test_a_prompt_in_chunks_is_the_prompt_token_by_token(tmp_path: Path, model_type: str) -> None:
    """Whatever the attention is like: packed or apart, windows, partial rotation or none, capped scores."""
    runner, ids = _built(tmp_path, model_type)
    chunked, stepped = runner.stream(TOKENS), runner.stream(TOKENS)
    for start in range(0, TOKENS, CHUNK):
        in_chunks = chunked.append(ids[start : start + CHUNK])
        by_steps = _steps(stepped, ids[start : start + CHUNK])
        assert np.abs(in_chunks - by_steps).max() < BOUND * np.ptp(by_steps)
    _same_integers(chunked, stepped)


def test_one_scale_for_a_whole_tensor_will_do(tmp_path: Path) -> None:
    """It widens every head alike."""
    runner, ids = _built(tmp_path, "glm", KvGranularity.PER_TENSOR)
    chunked, stepped = runner.stream(TOKENS), runner.stream(TOKENS)
    chunked.append(ids[:CHUNK])
    in_chunks, by_steps = chunked.append(ids[CHUNK:TOKENS]), _steps(stepped, ids[:TOKENS])
    assert np.abs(in_chunks - by_steps).max() < BOUND * np.ptp(by_steps)
    _same_integers(chunked, stepped)


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
    folder: Path, model_type: str, granularity: KvGranularity = KvGranularity.PER_CHANNEL
) -> tuple[GraphRunner, np.ndarray]:
    """FP32 weights, so that nothing but attention rounds; and a prompt."""
    source = make(folder / "source", model_type, EVEN | OTHERS.get(model_type, {}))
    kv = KvOptions(KvPrecision.INT8, granularity)
    options = BuildOptions(source.folder, folder / "out", WeightOptions(Precision.FP32), kv, True, measure=False)
    build_model(options, lambda *_: None)
    return GraphRunner(folder / "out", 1), np.resize(source.ids, TOKENS)


def _steps(stream: Stream, ids: np.ndarray) -> np.ndarray:
    for token in ids:
        logits = stream.step(np.array([token]))
    return logits[0]


def _same_integers(one: Stream, other: Stream) -> None:
    """All but the few that lie on the border between two."""
    for name, integers in one._kv.items():
        apart = np.abs(integers.astype(int) - other._kv[name])
        assert apart.max() <= 1, name
        assert np.mean(apart > 0) < 0.01, name
