"""Devices to providers, and loud about anything less than what was asked for."""

import pytest

from autoglmd.errors.model import DeviceUnavailableError
from autoglmd.model.device import CPU, choose_device

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"


@pytest.mark.parametrize(
    ("asked", "available", "providers", "memory"),
    [
        ("cpu", (CUDA, CPU), (CPU,), "cpu"),
        ("auto", (CPU,), (CPU,), "cpu"),
        ("auto", (CUDA, CPU), (CUDA, CPU), "cuda"),
        ("cuda", (TENSORRT, CUDA, CPU), (CUDA, CPU), "cuda"),
        ("tensorrt", (TENSORRT, CUDA, CPU), (TENSORRT, CUDA, CPU), "cuda"),
    ],
)
def test_what_is_there_is_used_without_a_word(
    asked: str, available: tuple[str, ...], providers: tuple[str, ...], memory: str
) -> None:
    """The providers in their order, the CPU last, and the KV rows where the first one wants them."""
    choice, fallback = choose_device(asked, available)
    assert (choice.providers, choice.memory, fallback) == (providers, memory, "")


@pytest.mark.parametrize(
    ("asked", "available", "runs_on"),
    [("cuda", (CPU,), CPU), ("tensorrt", (CPU,), CPU), ("tensorrt", (CUDA, CPU), CUDA)],
)
def test_less_than_what_was_asked_for_says_what_is_missing_and_what_runs(
    asked: str, available: tuple[str, ...], runs_on: str
) -> None:
    """The text names the device, what there is, where it runs now, and the remedy."""
    choice, fallback = choose_device(asked, available)
    assert choice.providers[0] == runs_on
    assert f"device {asked!r} needs" in fallback
    assert f"running on {runs_on} instead" in fallback
    assert ", ".join(available) in fallback
    assert "Install" in fallback


def test_an_unknown_device_is_an_error_with_the_known_ones() -> None:
    """The configuration refuses it first; whoever comes another way is told the same."""
    with pytest.raises(DeviceUnavailableError, match="'tpu' is not one of auto, cpu, cuda, tensorrt"):
        choose_device("tpu", (CPU,))
