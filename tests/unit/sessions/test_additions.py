"""How keys and values are written: compressed where that is worth its time."""

import numpy as np
import pytest

from autoglmd.messages.sessions import KvBlock
from autoglmd.sessions.additions import kv_record
from autoglmd.sessions.bodies import STORED, unpacked
from autoglmd.sessions.record import Kind, Record

SIZE = 1 << 20


def written(data: bytes) -> bytes:
    """The body of a record with them."""
    kind, meta, body = kv_record(KvBlock(64, 60, 64, memoryview(data)))
    known = {"start": 64, "tokens": 60, "held": 64}
    assert kind is Kind.KV
    assert meta in (known, known | {STORED: True})
    return bytes(body)


@pytest.mark.parametrize("spread", [0, 2, 30, 127])
@pytest.mark.parametrize("size", [0, 1, 600, SIZE])
def test_what_is_written_is_there_again(size: int, spread: int) -> None:
    """Whatever it is like: as it is, or in a frame that says how much it holds. No other number of bytes is taken."""
    data = np.random.default_rng(0).integers(-spread, spread + 1, size, np.int8).tobytes()
    kind, meta, body = kv_record(KvBlock(64, 60, 64, memoryview(data)))
    record = Record(kind, meta, 0, len(body), 0, b"")
    assert unpacked(record, bytes(body), size) == data
    assert unpacked(record, bytes(body), size + 1) is None
    assert unpacked(record, None, size) is None


def test_noise_is_written_as_it_is() -> None:
    """As models keep it in 8 bits: nearly all integers occur. From where it lies, and not a byte more."""
    data = np.clip(np.random.default_rng(0).normal(0, 45, SIZE), -127, 127).astype(np.int8).tobytes()
    lying = memoryview(data)
    _, meta, body = kv_record(KvBlock(64, 60, 64, lying))
    assert meta[STORED] is True
    assert isinstance(body, memoryview)
    assert body.obj is data
    assert len(body) == len(data)


def test_what_is_small_compressed_is_compressed() -> None:
    """Half of the bits are never used; and some of it is, somewhere."""
    few = np.random.default_rng(0).integers(-4, 5, SIZE, np.int8).tobytes()
    assert len(written(few)) < 0.6 * SIZE
    noise = np.random.default_rng(0).integers(-127, 128, SIZE // 2, np.int8).tobytes()
    assert len(written(noise + bytes(SIZE // 2))) < 0.6 * SIZE
