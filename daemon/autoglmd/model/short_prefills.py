"""The way for short prefills that graphs over INT8 keys and values have, taken where it changes no bit.

A few tokens behind a long past are what the next turn of a conversation computes. What they wait for is attention,
which has a faster way for few tokens than for many. An answer must not depend on how its prompt was cut into runs, so
both must give the same bits. That is a property of the processor's kernels, so it is tried and not looked up. Where
threads outnumber KV heads, one product is cut among several by its size, and its sums with it: then what was tried at
one size says nothing of another.
"""

import logging
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from autoglmd.messages.sessions import KvBlock
from autoglmd.model.graph_io import SHORT_PREFILL_TOKENS, can_be_told
from autoglmd.model.runner import ModelRunner

log = logging.getLogger(__name__)

SHORT_TOKENS = 32
"""Up to how many tokens it is the faster way (docs/decisions/int8-kv-cache.md)."""

_PAST_TOKENS = 510
"""Behind which it is tried: so that what the tokens see ends before and behind a multiple of what any vector holds."""
_CHUNKS = (2, 14)
"""What is tried: as many tokens at once the long way, and in these chunks the short one. A start waits for it."""


class ShortPrefills:
    """How many tokens of a row are a short prefill to one loaded graph; none until it was tried."""

    def __init__(self, session: ort.InferenceSession, memory: str, *, splits_heads: bool) -> None:
        """`memory`: where the KV rows live. `splits_heads`: whether a KV head's products are cut among threads."""
        self._is_known = memory == "cpu" and not splits_heads and can_be_told(session, SHORT_PREFILL_TOKENS)
        self._tokens = np.zeros(1, np.int64)

    @property
    def tokens(self) -> int:
        """Up to how many; 0 where there is no such way, or where it gives other bits."""
        return int(self._tokens[0])

    def bind(self, binding: ort.IOBinding) -> None:
        """For all runs of a binding: they read what is so at their time."""
        if self._is_known:
            binding.bind_input(SHORT_PREFILL_TOKENS, "cpu", 0, np.int64, [1], self._tokens.ctypes.data)

    def try_out(self, runner: ModelRunner) -> None:
        """Take that way from now on if it gives the same bits. Row 0 is overwritten."""
        if not self._is_known:
            return
        past = min(_PAST_TOKENS, runner.spec.context_tokens - SHORT_TOKENS)
        is_same = False
        try:
            is_same = past > 0 and self._gives_the_same(runner, past)
        except Exception as error:  # noqa: BLE001 - whatever onnxruntime raises; there is the ordinary way
            log.warning("prefills of few tokens take the ordinary way, for the short one fails: %s", error)
        self._tokens[0] = SHORT_TOKENS if is_same else 0

    def _gives_the_same(self, runner: ModelRunner, past: int) -> bool:
        _fill(runner, past)
        self._tokens[0] = 0
        expected = _computed(runner, past, (sum(_CHUNKS),))
        self._tokens[0] = SHORT_TOKENS
        return _computed(runner, past, _CHUNKS) == expected


def _computed(runner: ModelRunner, past: int, chunks: Sequence[int]) -> tuple[bytes, bytes]:
    """The last token's logits, and all of their keys and values."""
    ids, at = np.arange(sum(chunks)) % runner.spec.vocab_size, 0
    for count in chunks:
        logits = runner.prefill(0, ids[at : at + count], past + at, final=True)
        at += count
    (held,) = runner.read_kv(0, (past, past + at))
    return logits.tobytes(), bytes(held.data)


def _fill(runner: ModelRunner, tokens: int) -> None:
    """Put keys and values of no conversation into row 0."""
    # The same ones each time; small enough that all of the past has a share in what attention gives.
    numbers = np.random.default_rng(0).integers(-32, 32, tokens * runner.spec.kv_bytes_per_token, np.int8)
    runner.write_kv(0, (KvBlock(0, tokens, tokens, numbers.tobytes()),))
