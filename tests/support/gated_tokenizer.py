"""A tokenizer that a test holds, for threads that tokenize."""

import threading
from collections.abc import Sequence

LIMIT_SECONDS = 10.0
PANIC = "panic"


class PanicError(BaseException):
    """What a tokenizer in Rust raises at a defect of its own."""


class GatedTokenizer:
    """One token per character; holds while the gate is closed."""

    size = 512
    special: frozenset[str] = frozenset()
    longest_piece = 1

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.texts: list[str] = []
        self.arrived = threading.Semaphore(0)

    def encode(self, text: str, *, add_prefix: bool) -> list[int]:
        """See Tokenizer.encode."""
        if text == PANIC:
            raise PanicError
        self.texts.append(text)
        self.arrived.release()
        assert self.gate.wait(LIMIT_SECONDS)
        return [ord(letter) % 100 for letter in text]

    def decode(self, ids: Sequence[int]) -> str:
        """Not needed here."""
        raise NotImplementedError

    def piece(self, token_id: int) -> str:
        """Not needed here."""
        raise NotImplementedError
