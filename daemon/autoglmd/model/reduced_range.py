"""7-bit weights for x86 processors that would otherwise compute 8-bit products wrongly.

Without VNNI, AVX2 multiplies u8 by s8 and adds two products in 16 bits: 255 * 127 * 2 saturates, 255 * 64 * 2 does
not. onnxruntime does not guard against it, so W8A8 models (`MatMulIntegerToFloat`) get halved weights and doubled
scales before they are prepared there. MatMulNBits is not concerned, nor are arm64 and x86 before AVX2.
"""

import shutil
from pathlib import Path

import numpy as np

from autoglmd.errors.model import ModelUnsupportedError
from autoglmd.host.facts import HostFacts
from autoglmd.model.onnx_file import FLOAT, INT8, ExternalTensor, GraphFile, read_graph

OPERATOR = "MatMulIntegerToFloat"
SAFE_MAGNITUDE = 64
_WEIGHT, _SCALES = 1, 3
"""Positions in the operator's inputs."""
_EXACT = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


def saturates(facts: HostFacts) -> bool:
    """Tell whether a processor's 8-bit products can saturate in onnxruntime."""
    features = set(facts.cpu_features)
    return facts.machine in ("x86_64", "i686") and "avx2" in features and not features & _EXACT


def needs_reducing(graph: Path) -> bool:
    """Tell whether a model has W8A8 weights of the full 8 bits."""
    content = read_graph(graph)
    return any(_peak(graph.parent, _external(content, name, INT8)) > SAFE_MAGNITUDE for name, _ in _weights(content))


def would_saturate(graph: Path, facts: HostFacts) -> bool:
    """Tell whether a model, loaded as it is, may be computed wrongly on a processor; if in doubt, it may."""
    try:
        return saturates(facts) and needs_reducing(graph)
    except ModelUnsupportedError:
        return True


def copy_reduced(graph: Path, folder: Path) -> Path:
    """Copy a graph and its weights into `folder`, halve the W8A8 weights there, double their scales.

    Returns the copy's graph.

    Raises:
        ModelUnsupportedError: a weight or its scales lie where they cannot be changed.
        OSError: the copy cannot be written.
    """
    content = read_graph(graph)
    for name in {graph.name, *(tensor.file for tensor in content.tensors.values())}:
        shutil.copyfile(graph.parent / name, folder / name)
    for weight_name, scales_name in _weights(content):
        weight, scales = _external(content, weight_name, INT8), _external(content, scales_name, FLOAT)
        integers = np.memmap(folder / weight.file, np.int8, "r+", weight.offset, weight.length)
        integers[:] = np.rint(integers.astype(np.float32) / 2).astype(np.int8)
        steps = np.memmap(folder / scales.file, np.float32, "r+", scales.offset, scales.length // 4)
        steps *= 2
        integers.flush()
        steps.flush()
    return folder / graph.name


def _weights(graph: GraphFile) -> set[tuple[str, str]]:
    """The names of the W8A8 weights and of their scales."""
    products = (operator.inputs for operator in graph.operators if operator.kind == OPERATOR)
    return {(inputs[_WEIGHT], inputs[_SCALES]) for inputs in products}


def _external(graph: GraphFile, name: str, data_type: int) -> ExternalTensor:
    tensor = graph.tensors.get(name)
    if tensor is None or tensor.data_type != data_type:
        raise ModelUnsupportedError(
            f"This processor needs 7-bit weights, and {name} of this model cannot be changed here. "
            "Build it with reduced range (`autoglmctl model build --reduce-range`)."
        )
    return tensor


def _peak(folder: Path, weight: ExternalTensor) -> int:
    integers = np.memmap(folder / weight.file, np.int8, "r", weight.offset, weight.length)
    return int(np.abs(integers.astype(np.int16)).max())
