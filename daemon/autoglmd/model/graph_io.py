"""What a loaded graph takes and gives, held against what its bundle's configuration says."""

import numpy as np
import onnxruntime as ort

from autoglmd.errors.model import ModelUnsupportedError
from autoglmd.model.bundle import Bundle, TensorNames
from autoglmd.model.kv_rows import KvTensor

LOGITS_INDICES = "logits_indices"
"""An input that graphs of our own have, with the default -1: int64 [rows], the column whose logits are wanted."""
SHORT_PREFILL_TOKENS = "short_prefill_tokens"
"""Another, with the default 0: int64 [1], up to how many tokens of a row go through the way for short prefills."""

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
}


def kv_tensors(session: ort.InferenceSession, bundle: Bundle) -> tuple[KvTensor, ...]:
    """The graph's KV inputs, layer by layer. Raises ModelUnsupportedError where they are not the configuration's."""
    inputs = {entry.name: entry for entry in session.get_inputs()}
    outputs = {entry.name for entry in session.get_outputs()}
    names = bundle.names
    pairs = ((names.past_key, names.present_key), (names.past_value, names.present_value))
    tensors = []
    for layer in range(bundle.layers):
        for past, present in ((past % layer, present % layer) for past, present in pairs):
            if past not in inputs or present not in outputs:
                raise ModelUnsupportedError(
                    f"{bundle.graph}: input {past} or output {present} is missing; "
                    f"genai_config.json says {bundle.layers} layers. The graph and its configuration do not match."
                )
            tensors.append(_kv_tensor(inputs[past], present, bundle))
    return tuple(tensors)


def _kv_tensor(past: ort.NodeArg, present: str, bundle: Bundle) -> KvTensor:
    if len(past.shape) != 4:
        raise ModelUnsupportedError(
            f"{bundle.graph}: {past.name} has {len(past.shape)} dimensions; we run [rows, heads, tokens, size]."
        )
    _agree(bundle, "KV heads", past.shape[1], bundle.kv_heads)
    width = past.shape[3]
    return KvTensor(
        past=past.name,
        present=present,
        dtype=_dtype_of([past], past.name),
        heads=bundle.kv_heads,
        width=width if isinstance(width, int) else bundle.head_size,
    )


def _agree(bundle: Bundle, what: str, in_graph: object, in_config: int) -> None:
    """A dimension that the graph leaves open is a name or None, and agrees with everything."""
    if isinstance(in_graph, int) and in_graph != in_config:
        raise ModelUnsupportedError(
            f"{bundle.graph} has {in_graph} {what} and genai_config.json says {in_config}. "
            "They belong to different models; copy the bundle again."
        )


def check_inputs(session: ort.InferenceSession, names: TensorNames, tensors: tuple[KvTensor, ...]) -> bool:
    """Refuse a graph that wants what we cannot give. Returns whether it takes position ids."""
    have = {entry.name for entry in session.get_inputs()}
    needed = {names.input_ids, names.attention_mask, *(tensor.past for tensor in tensors)}
    unknown = have - needed - {names.position_ids}
    if needed - have or unknown:
        raise ModelUnsupportedError(
            f"The graph's inputs are not those of a decoder that we can run: missing {sorted(needed - have)}, "
            f"unknown {sorted(unknown)}. Build it with `autoglmctl model build`."
        )
    return names.position_ids in have


def chooses_logits(session: ort.InferenceSession) -> bool:
    """Whether the graph can be told which column's logits it shall compute."""
    return can_be_told(session, LOGITS_INDICES)


def can_be_told(session: ort.InferenceSession, name: str) -> bool:
    """Whether the graph has an input of this name that need not be given."""
    return any(entry.name == name for entry in session.get_overridable_initializers())


def _dtype_of(entries: list[ort.NodeArg], name: str) -> np.dtype[np.generic]:
    kind = next((entry.type for entry in entries if entry.name == name), "absent")
    if kind not in _DTYPES:
        raise ModelUnsupportedError(f"Tensor {name} is {kind}; we run {', '.join(sorted(_DTYPES))}.")
    return np.dtype(_DTYPES[kind])


def logits_dtype(session: ort.InferenceSession, bundle: Bundle) -> np.dtype[np.generic]:
    """What the logits are made of. Raises ModelUnsupportedError where they are not this vocabulary's."""
    outputs, name = session.get_outputs(), bundle.names.logits
    dtype = _dtype_of(outputs, name)
    _agree(bundle, "logits", next(entry.shape[-1] for entry in outputs if entry.name == name), bundle.vocab_size)
    return dtype


def precision_of(bundle: Bundle) -> str:
    """From the operators that the graph file names; a serialized ONNX model holds them as plain text."""
    with bundle.graph.open("rb") as graph:
        text = graph.read(64 << 20)
    if b"MatMulIntegerToFloat" in text or b"DynamicQuantizeMatMul" in text:
        return "int8-per-token"
    return "int8-groups" if b"MatMulNBits" in text else "fp32"
