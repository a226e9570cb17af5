"""A ModelRunner made of arithmetic: its KV rows hold the token ids themselves."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from threading import Event

import numpy as np

from autoglmd.messages.sessions import KvBlock
from autoglmd.model.runner import Ids, Logits, ModelSpec

UNWRITTEN = -1
LIMIT_SECONDS = 10.0


class RunFailedError(Exception):
    """What the fake raises when it is told to."""


def next_token(held: Iterable[int], vocab_size: int) -> int:
    """The token that follows these; it depends on each of them and its place, and is never 0."""
    mixed = 0
    for token in held:
        mixed = (mixed * 31 + int(token) + 7) % 1_000_003
    return 1 + mixed % (vocab_size - 1)


def expected_tokens(prompt: Iterable[int], count: int, vocab_size: int = 64) -> list[int]:
    """The greedy answer to a prompt, by the definition and nothing else."""
    held = [int(token) for token in prompt]
    start = len(held)
    for _ in range(count):
        held.append(next_token(held, vocab_size))
    return held[start:]


class FakeRunner:
    """Implements `ModelRunner`.

    Attributes:
        kv: shape [rows, context]; what a real model would keep as keys and values.
        calls: names of the calls so far.
        failing: numbers of calls (counted from 0) that raise; a failed call may have written KV before.
        poisoned: a row whose last token is one of these gives NaN.
        gate: a cleared event holds calls until it is set.
        gate_from: number of the first call that the gate holds.
        reached: set when a call waits at the gate.
        rested: set when nobody had a row any more.
        closed: whether the engine let go of it.
    """

    def __init__(self, rows: int = 4, context_tokens: int = 64, vocab_size: int = 64) -> None:
        self.spec = ModelSpec(
            vocab_size=vocab_size,
            context_tokens=context_tokens,
            rows=rows,
            layers=1,
            kv_bytes_per_token=8,
            precision="fp32",
            kv_precision="float32",
            provider="fake",
            fallback="",
            prepared=False,
        )
        self.kv = np.full((rows, context_tokens), UNWRITTEN, np.int64)
        self.calls: list[str] = []
        self.failing: set[int] = set()
        self.poisoned: set[int] = set()
        self.gate = Event()
        self.gate.set()
        self.gate_from = 0
        self.reached = Event()
        self.rested = Event()
        self.closed = False

    def prefill(self, row: int, ids: Ids, past: int, *, final: bool) -> Logits:
        """Write the ids behind the past ones."""
        self.kv[row, past : past + len(ids)] = ids
        self._called("prefill")
        return self._logits([row] if final else [], [past + len(ids)])

    def prefill_fresh(self, first_row: int, ids: Ids, lengths: Ids) -> Logits:
        """Write each prompt into its row; like onnxruntime's attention, refuse one without tokens."""
        if (lengths < 1).any():
            raise RunFailedError("a fresh prompt of length 0")
        rows = self.kv[first_row : first_row + len(ids)]
        if len(rows) < len(ids):
            raise RunFailedError("more prompts than rows")
        rows[:, : ids.shape[1]] = ids
        self._called("prefill_fresh")
        return self._logits(range(first_row, first_row + len(ids)), lengths)

    def decode(self, ids: Ids, lengths: Ids) -> Logits:
        """Append one id per row, and point at the next."""
        self.kv[np.arange(len(ids)), lengths] = ids
        self._called("decode")
        return self._logits(range(len(ids)), lengths + 1)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row's beginning; what was behind it in the new row is lost, so that nobody can rely on it."""
        self.kv[target, :length] = self.kv[source, :length]
        self.kv[target, length:] = UNWRITTEN
        self._called("move")

    def read_kv(self, row: int, cuts: Sequence[int]) -> tuple[KvBlock, ...]:
        """A copy of the ids there."""
        self._called("read_kv")
        return tuple(
            KvBlock(start, stop - start, stop - start, memoryview(self.kv[row, start:stop].tobytes()))
            for start, stop in pairwise(cuts)
        )

    def write_kv(self, row: int, blocks: Iterable[KvBlock]) -> None:
        """Put ids back."""
        for block in blocks:
            self.kv[row, block.start : block.stop] = np.frombuffer(block.data, np.int64)[: block.tokens]
        self._called("write_kv")

    def rest(self) -> None:
        """Lose what the rows held."""
        self.kv[:] = UNWRITTEN
        self.rested.set()

    def close(self) -> None:
        """Let go."""
        self.closed = True

    def _logits(self, rows: Iterable[int], held: Iterable[int]) -> Logits:
        """Point at the token that follows what each row holds."""
        told = [self._row_logits(self.kv[row, :count]) for row, count in zip(rows, held, strict=False)]
        return np.array(told, np.float32).reshape(-1, self.spec.vocab_size)

    def _row_logits(self, tokens: Ids) -> Logits:
        logits = np.zeros(self.spec.vocab_size, np.float32)
        logits[next_token(tokens, self.spec.vocab_size)] = 1.0
        if int(tokens[-1]) in self.poisoned:
            logits[3] = np.nan
        return logits

    def _called(self, name: str) -> None:
        number = len(self.calls)
        self.calls.append(name)
        if number >= self.gate_from and not self.gate.is_set():
            self.reached.set()
            assert self.gate.wait(LIMIT_SECONDS), "the gate was never opened"
        if number in self.failing:
            raise RunFailedError(f"call {number}, {name}")
