"""The unfused graph computes what the fused one does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.engines.base import Engine, greedy_tokens
from benchmarks.job import Job
from tests.support.make_tiny_models import SHAPE, VOCABULARY, make_checkpoint, write_tokenizer

pytestmark = pytest.mark.build


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama in float32, as `fused` and as `unfused`."""
    from benchmarks.convert import onnx_folder, unfused

    folder = tmp_path_factory.mktemp("models")
    make_checkpoint("llama", SHAPE, folder / "checkpoint")
    write_tokenizer("json", folder / "checkpoint")
    onnx_folder.build(folder / "checkpoint", folder / "fused", "fp32")
    unfused.convert(folder / "fused", folder / "unfused")
    return folder


def tokens(engine: Callable[[Job], Engine], model: Path, *, optimize: bool = True) -> list[int]:
    """Greedy tokens of an engine with a model."""
    job = Job("onnx", str(model), VOCABULARY, prompt_tokens=16, compare_tokens=True, optimize=optimize)
    return greedy_tokens(engine(job), job)


@pytest.mark.parametrize("optimize", [True, False])
def test_an_unfused_graph_gives_the_fused_ones_tokens(folder: Path, optimize: bool) -> None:
    """Prefill and batched decode, as written and as onnxruntime optimizes it."""
    from benchmarks.engines.onnx_copying import OnnxCopying
    from benchmarks.engines.onnx_loop import OnnxLoop

    wanted = tokens(OnnxLoop, folder / "fused")
    assert tokens(OnnxCopying, folder / "unfused", optimize=optimize) == wanted


def test_no_fused_operator_is_left(folder: Path) -> None:
    """What is compared is really taken apart."""
    import onnx

    model = onnx.load(str(folder / "unfused" / "model.onnx"), load_external_data=False)
    assert {node.domain for node in model.graph.node} == {""}
    assert not any("LayerNormalization" in node.op_type for node in model.graph.node)
