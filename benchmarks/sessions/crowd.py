"""Many small sessions in a folder, as a daemon would have left them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from autoglmd.host.disk import Disk
from autoglmd.messages.generation import Message
from autoglmd.messages.sessions import KvBlock, SessionKey
from autoglmd.sessions.conversation import ModelMark, Turn
from benchmarks.sessions.stores import open_store

TENANTS = 10
TOKENS = 32
KV_BYTES_PER_TOKEN = 64
MARK = ModelMark("another-model", "version", "tokenizer", "layout", KV_BYTES_PER_TOKEN)


class HastyDisk(Disk):
    """Syncs nothing: whoever makes a crowd can make it again."""

    def _sync(self, descriptor: int) -> None:
        pass


def make(folder: Path, count: int) -> None:
    """Save `count` sessions. Each has one turn, and keys and values of a small model."""
    store = open_store(folder, HastyDisk())
    data = bytes(range(KV_BYTES_PER_TOKEN)) * TOKENS
    for number in range(count):
        key = SessionKey(f"uid:{20_000 + number % TENANTS}", f"crowd {number}")
        said = (Message("user", f"How are you, {number}?"), Message("assistant", "Well, thank you."))
        turn = Turn(1, time.time(), 0, tuple(range(TOKENS)), 0, said)
        store.save(store.begin(key, MARK).after(turn).having(KvBlock(0, TOKENS, TOKENS, data)))
    store.close()
    # All at once, in place of thrice for each.
    os.sync()
