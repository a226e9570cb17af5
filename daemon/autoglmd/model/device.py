"""Which onnxruntime execution provider runs a model, and why."""

from dataclasses import dataclass

from autoglmd.errors import DeviceUnavailableError

_PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("NvTensorRTRTXExecutionProvider", "TensorrtExecutionProvider", "CUDAExecutionProvider"),
    "auto": ("CUDAExecutionProvider",),
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
    wanted = _PROVIDERS.get(requested)
    if wanted is None:
        raise DeviceUnavailableError(f"device {requested!r} is not one of {', '.join(_PROVIDERS)}.")
    found = tuple(provider for provider in wanted if provider in available)
    fallback = ""
    if not found and requested != "auto":
        fallback = (
            f"device {requested!r} needs {wanted[0]}, which this onnxruntime does not offer "
            f"(it has {', '.join(available)}); running on the CPU instead. Install onnxruntime-gpu to change that."
        )
    # The CPU provider stays last: it takes the operators that the others do not have.
    return DeviceChoice(requested, tuple(dict.fromkeys((*found, CPU)))), fallback
