"""What the engine asks of a model. `ort_runner.py` is it; the engine's unit tests have a fake."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autoglmd.messages.sessions import KvBlock

Ids = NDArray[np.int64]
Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Facts of a loaded model.

    Attributes:
        context_tokens: longest sequence that its rows hold.
        kv_bytes_per_token: keys and values of all layers, in bytes.
        provider: the onnxruntime execution provider in use.
        fallback: why it is not the one asked for; empty if it is.
    """

    vocab_size: int
    context_tokens: int
    rows: int
    layers: int
    kv_bytes_per_token: int
    precision: str
    kv_precision: str
    provider: str
    fallback: str
    prepared: bool


class ModelRunner(Protocol):
    """A model with a KV cache of `spec.rows` rows. Not thread-safe: one engine thread owns it.

    A call that raises may have written KV past the lengths that it was given, and nothing before them; so a caller
    that forgets the call has lost nothing.
    """

    @property
    def spec(self) -> ModelSpec:
        """Facts that do not change."""
        ...

    def prefill(self, row: int, ids: Ids, past: int, *, final: bool) -> Logits:
        """Compute the KV of `ids` (shape [n], n at least 1) at positions past..past+n of one row.

        Args:
            row: KV row.
            ids: the prompt's next tokens.
            past: how many tokens the row holds before them.
            final: whether they end the prompt.

        Returns:
            If final the logits of the last token, shape [1, vocab], else shape [0, vocab]; a view that the next call
            overwrites.
        """
        ...

    def prefill_fresh(self, first_row: int, ids: Ids, lengths: Ids) -> Logits:
        """Compute the KV of several fresh prompts at once.

        Args:
            first_row: KV row of the first prompt; the others follow it.
            ids: right-padded, shape [k, longest].
            lengths: shape [k], each at least 1; positions past a prompt's length are never read again.

        Returns:
            The logits of each prompt's last token, shape [k, vocab]; a view that the next call overwrites.
        """
        ...

    def decode(self, ids: Ids, lengths: Ids) -> Logits:
        """Compute one more token for the first n rows.

        Args:
            ids: shape [n], the token to feed to each row.
            lengths: shape [n], how many tokens each row holds before it.

        Returns:
            Shape [n, vocab]; a view that the next call overwrites.
        """
        ...

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one row to another; the first stays as it was."""
        ...

    def read_kv(self, row: int, cuts: Sequence[int]) -> tuple[KvBlock, ...]:
        """A copy of the keys and values of one row: a block from each cut, in rising order, to the next."""
        ...

    def write_kv(self, row: int, blocks: Sequence[KvBlock]) -> None:
        """Put keys and values back to their positions, in any row. What `read_kv` gave is there again, bit for bit.

        Raises:
            ValueError: a block is not as large as this model's keys and values are, or lies past the row's end.
        """
        ...

    def rest(self) -> None:
        """Nobody has a row: give back the memory that keys and values took. What rows held is lost."""
        ...

    def close(self) -> None:
        """Free the graph and the KV memory."""
        ...
