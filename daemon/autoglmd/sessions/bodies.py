"""Keys and values out of a file's records: read in order, and checked and decompressed beside the reading.

The thread that asks reads, so a disk sees one reader as ever, and what hangs at it is that thread alone. A few threads
beside it, which live as long as the call, check, open and decompress what was read; checksums and zstd run without
Python's lock. What comes of it is as if it had been done one by one.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import zstandard

from autoglmd.host.disk import OpenFile
from autoglmd.messages.sessions import KvBlock
from autoglmd.sessions.record import Record, checked_body, read_raw_body
from autoglmd.sessions.seal import Seal

STORED = "stored"
"""In a KV record's meta, true where its body is the keys and values as they are, and no frame of zstd."""
_MOST_THREADS = 4
# Fewer are done before a busy box has let a thread begin.
_LEAST_BYTES = 4 << 20
# What is read and waits to be decompressed is bounded, twice: a block of a long prompt is a whole session's bytes.
_AHEAD_PER_THREAD = 2
_AHEAD_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Packed:
    """A block whose data is in a file.

    Attributes:
        block: without its data.
        record: whose body it is.
        size: its bytes, decompressed.
    """

    block: KvBlock
    record: Record
    size: int


def filled(file: OpenFile, blocks: Sequence[Packed], seal: Seal) -> tuple[KvBlock, ...]:
    """The blocks with their data, up to the first that was damaged.

    Raises:
        OSError: the disk does not give one of them, and those before it are whole.
    """
    work = partial(_filled, file, seal)
    if len(blocks) < 2 or sum(each.record.body_bytes for each in blocks) < _LEAST_BYTES:
        return _until_damaged(work(each, read_raw_body(file, each.record)) for each in blocks)
    threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)), len(blocks))
    with ThreadPoolExecutor(threads, "unpack") as pool:
        return _until_damaged(_in_order(file, blocks, partial(_begun, pool, work), _AHEAD_PER_THREAD * threads))


def unpacked(record: Record, body: bytes | None, size: int) -> bytes | None:
    """`size` bytes out of a record's body: stored, or in a frame that says that it holds as many.

    `None` if they are others in number, or damaged.
    """
    if record.meta.get(STORED) is True:
        return body if body is not None and len(body) == size else None
    try:
        if body is None or zstandard.frame_content_size(body) != size:
            return None
        return zstandard.ZstdDecompressor().decompress(body)
    except zstandard.ZstdError:
        return None


def _until_damaged(blocks: Iterator[KvBlock | None]) -> tuple[KvBlock, ...]:
    return tuple(iter(partial(next, blocks, None), None))


def _in_order(
    file: OpenFile, blocks: Sequence[Packed], begin: Callable[[Packed, bytes], Future[KvBlock | None]], most: int
) -> Iterator[KvBlock | None]:
    """What becomes of each, the first first; at most so many are read before it is known."""
    left = deque(blocks)
    ahead: deque[tuple[int, Future[KvBlock | None]]] = deque()
    while left or ahead:
        while left and _has_room(ahead, left[0].record.body_bytes, most):
            each = left.popleft()
            try:
                ahead.append((each.record.body_bytes, begin(each, read_raw_body(file, each.record))))
            except OSError as error:
                # It counts once those before it are known to be whole: behind a damaged one nothing is wanted.
                ahead.append((0, _failed(error)))
                left.clear()
        yield ahead.popleft()[1].result()


def _has_room(ahead: Sequence[tuple[int, object]], size: int, most: int) -> bool:
    return not ahead or (len(ahead) < most and sum(each for each, _ in ahead) + size <= _AHEAD_BYTES)


def _begun(
    pool: ThreadPoolExecutor, work: Callable[[Packed, bytes], KvBlock | None], each: Packed, body: bytes
) -> Future[KvBlock | None]:
    try:
        return pool.submit(work, each, body)
    except RuntimeError:
        # The box gives no more threads. It is done by this one.
        done: Future[KvBlock | None] = Future()
        done.set_result(work(each, body))
        return done


def _failed(error: OSError) -> Future[KvBlock | None]:
    future: Future[KvBlock | None] = Future()
    future.set_exception(error)
    return future


def _filled(file: OpenFile, seal: Seal, each: Packed, raw: bytes) -> KvBlock | None:
    data = unpacked(each.record, checked_body(file, each.record, raw, seal), each.size)
    # As a view: those who only remember that a row holds it let it go with the last one who has it.
    return None if data is None else replace(each.block, data=memoryview(data))
