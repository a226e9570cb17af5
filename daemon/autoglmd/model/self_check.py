"""What only a run can show of a loaded model: that it runs at all, as far as it says, and one row like another."""

import numpy as np

from autoglmd.errors.model import ModelCorruptError, ModelUnsupportedError
from autoglmd.model.bundle import Bundle
from autoglmd.model.graph_io import LOGITS_INDICES
from autoglmd.model.runner import ModelRunner

_PROMPT_TOKENS = 4
_ALIKE = 0.1
"""Of the logits' range: two kernels differ in the last bits, which INT8 activations make a little more of."""


def try_once(runner: ModelRunner, bundle: Bundle, *, chooses: bool) -> None:
    """Prefill, continue, and decode at the end of the context. Also the weights' first touch.

    Args:
        runner: as just loaded.
        bundle: named in what is raised.
        chooses: whether the graph is told which column's logits to compute, which may mean something else to it.

    Raises:
        ModelUnsupportedError: the graph cannot continue a row in place, or not as far as its context says, or tells
            of another column.
        ModelCorruptError: what it computes are not numbers.
    """
    ids, context = np.arange(_PROMPT_TOKENS), runner.spec.context_tokens
    try:
        runner.prefill(0, ids[:2], 0, final=False)
        told = runner.prefill(0, ids[2:], 2, final=True).copy()
        logits = runner.decode(ids[-1:], np.array([_PROMPT_TOKENS - 1]))
    except Exception as error:
        raise ModelUnsupportedError(
            f"{bundle.graph}: its attention cannot continue a KV row in place (GroupQueryAttention can). "
            f"Build it with `autoglmctl model build`. onnxruntime says: {first_line(error)}"
        ) from error
    if not (np.isfinite(told).all() and np.isfinite(logits).all()):
        raise ModelCorruptError(
            f"{bundle.graph}: a first run gave logits that are not numbers; its weights are broken."
        )
    if chooses and np.abs(told - logits).max() > _ALIKE * np.ptp(logits):
        raise ModelUnsupportedError(
            f"{bundle.graph}: a prompt's last token has other logits in a prefill than in a decode. Its input "
            f"{LOGITS_INDICES} means something else, or this onnxruntime's two ways through attention disagree. "
            "Build it anew with `autoglmctl model build` and this onnxruntime."
        )
    try:
        runner.decode(ids[:1], np.array([context - 1]))
    except Exception as error:
        raise ModelUnsupportedError(
            f"{bundle.graph} cannot compute position {context}; genai_config.json says {bundle.context_tokens}. Lower "
            f"engine.context_tokens, or build the model anew. onnxruntime says: {first_line(error)}"
        ) from error


def rows_are_independent(runner: ModelRunner) -> bool:
    """Whether a row gets the same logits, bit for bit, whatever the number of rows in a run.

    It is a property of the kernels that this processor has for this graph, so it is tried and not looked up.
    """
    rows = runner.spec.rows
    ids = np.ones((rows, _PROMPT_TOKENS), np.int64)
    lengths = np.full(rows, _PROMPT_TOKENS, np.int64)
    lengths[1::2] -= 1
    counts = {count for count in (2, 3, rows - 1, rows) if 1 < count <= rows}
    # A prompt alone, in two chunks, and as the first of several of unequal length.
    runner.prefill(0, ids[0, :2], 0, final=False)
    first = runner.prefill(0, ids[0, 2:], 2, final=True).copy()
    prompts = [runner.prefill_fresh(0, ids[:count], lengths[:count])[0].copy() for count in (1, *sorted(counts))]
    alone = runner.decode(ids[:1, 0], lengths[:1]).copy()
    decoded = [runner.decode(ids[:count, 0], lengths[:count])[0].copy() for count in counts]
    return all(np.array_equal(each, first[0]) for each in prompts) and all(
        np.array_equal(each, alone[0]) for each in decoded
    )


def first_line(error: Exception) -> str:
    """What onnxruntime says, without its stack."""
    return str(error).strip().splitlines()[0][:300]
