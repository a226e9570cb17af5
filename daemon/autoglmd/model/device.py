"""Which onnxruntime execution provider runs a model, and why."""

from dataclasses import dataclass

from autoglmd.errors.model import DeviceUnavailableError

_TENSORRT = ("NvTensorRTRTXExecutionProvider", "TensorrtExecutionProvider")
_CUDA = "CUDAExecutionProvider"
# Per device: the providers that are what was asked for, then those that come close.
_PROVIDERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "auto": ((), (_CUDA,)),
    "cpu": ((), ()),
    "cuda": ((_CUDA,), ()),
    "tensorrt": (_TENSORRT, (_CUDA,)),
}
CPU = "CPUExecutionProvider"


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """Providers to try, best first; the CPU is always the last. `memory` is where the KV rows live."""

    requested: str
    providers: tuple[str, ...]

    @property
    def memory(self) -> str:
        """Name in onnxruntime of the device that holds the KV rows."""
        return "cpu" if self.providers[0] == CPU else "cuda"


def choose_device(requested: str, available: tuple[str, ...]) -> tuple[DeviceChoice, str]:
    """Turn a configured device into providers.

    Returns:
        The choice, and why it is less than what was asked for (empty if it is not).
    """
    if requested not in _PROVIDERS:
        raise DeviceUnavailableError(f"device {requested!r} is not one of {', '.join(_PROVIDERS)}.")
    meant, close = _PROVIDERS[requested]
    # The CPU provider stays last: it takes the operators that the others do not have.
    providers = (*(each for each in (*meant, *close) if each in available), CPU)
    fallback = ""
    if meant and providers[0] not in meant:
        fallback = (
            f"device {requested!r} needs {meant[-1]}, which is not to be had here (there is {', '.join(available)}); "
            f"running on {providers[0]} instead. Install onnxruntime-gpu and the CUDA libraries to change that."
        )
    return DeviceChoice(requested, providers), fallback
