"""The same tokens on a GPU. Runs where there is one."""

from pathlib import Path

import numpy as np
import pytest

from autoglmd.model.bundle import read_bundle
from autoglmd.model.device import choose_device
from autoglmd.model.ort_runner import OrtRunner, RunnerOptions, available_providers

TINY = Path(__file__).parents[1] / "fixtures" / "models" / "tiny-fp32"

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        "CUDAExecutionProvider" not in available_providers(),
        reason="needs an NVIDIA GPU and onnxruntime-gpu; this onnxruntime has no CUDAExecutionProvider",
    ),
]


def _runner(device: str) -> OrtRunner:
    bundle = read_bundle(TINY)
    choice, fallback = choose_device(device, available_providers())
    return OrtRunner(bundle, RunnerOptions(bundle.graph, False, choice, fallback, 4, 128, 1))


def test_a_gpu_computes_what_the_cpu_computes_in_rows_that_live_on_the_gpu() -> None:
    """Chunked prefill, a moved row and a ragged decode agree with the CPU to float precision."""
    ids = np.random.default_rng(0).integers(3, 500, 60)
    logits = []
    for device in ("cpu", "cuda"):
        runner = _runner(device)
        runner.prefill(0, ids[:20], 0)
        runner.prefill(3, ids[:30], 0)
        runner.prefill(3, ids[30:50], 30)
        runner.move(3, 1, 50)
        logits.append(runner.decode(ids[[20, 50]], np.array([20, 50])).copy())
        assert runner.spec.fallback == ""
    assert np.abs(logits[0] - logits[1]).max() < 1e-3
