"""The same tokens on a GPU. Runs where there is one: `pytest tests/component/test_cuda.py`, with onnxruntime-gpu."""

from pathlib import Path

import numpy as np
import pytest

from autoglmd.model.bundle import read_bundle
from autoglmd.model.device import choose_device
from autoglmd.model.ort_runner import OrtRunner, RunnerOptions, available_providers

TINY = Path(__file__).parents[1] / "fixtures" / "models" / "tiny-fp32"

IDS = np.random.default_rng(0).integers(3, 500, 60)
NEEDS_CUDA = pytest.mark.skipif(
    "CUDAExecutionProvider" not in available_providers(),
    reason="needs an NVIDIA GPU and onnxruntime-gpu; this onnxruntime has no CUDAExecutionProvider",
)


def _runner(device: str) -> OrtRunner:
    bundle = read_bundle(TINY)
    choice, fallback = choose_device(device, available_providers())
    return OrtRunner(bundle, RunnerOptions(bundle.graph, False, choice, fallback, 4, 128, 1))


def _logits(runner: OrtRunner) -> np.ndarray:
    """Of a short prompt, of one in two chunks, and of a ragged decode behind both, one of which has moved."""
    short = runner.prefill(0, IDS[:20], 0, final=True).copy()
    runner.prefill(3, IDS[:30], 0, final=False)
    long = runner.prefill(3, IDS[30:50], 30, final=True).copy()
    runner.move(3, 1, 50)
    decoded = runner.decode(IDS[[20, 50]], np.array([20, 50])).copy()
    return np.concatenate([short, long, decoded])


def test_the_comparison_holds_of_the_cpu_with_itself() -> None:
    """So that what a GPU is held against runs where there is none."""
    assert np.array_equal(_logits(_runner("cpu")), _logits(_runner("cpu")))


@pytest.mark.cuda
@NEEDS_CUDA
def test_a_gpu_computes_what_the_cpu_computes_in_rows_that_live_on_the_gpu() -> None:
    """Chunked prefill, a moved row and a ragged decode agree with the CPU to float precision."""
    gpu = _runner("cuda")
    assert (gpu.spec.provider, gpu.spec.fallback) == ("CUDAExecutionProvider", "")
    assert np.abs(_logits(_runner("cpu")) - _logits(gpu)).max() < 1e-3
