"""Keys and values are read in order, and decompressed in threads beside that, as if it were done one by one."""

import errno
import os
import random
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path

import pytest
import zstandard

from autoglmd.host.disk import OpenFile
from autoglmd.messages.sessions import KvBlock
from autoglmd.sessions import bodies
from autoglmd.sessions.bodies import Packed, filled
from autoglmd.sessions.conversation import Conversation, Turn
from autoglmd.sessions.log import Found
from autoglmd.sessions.record import Kind, RecordWriter, records
from autoglmd.sessions.seal import Plain, Seal
from tests.support.conversations import KEY, MODEL, NOW, empty
from tests.support.session_stores import file_of, open_store

COUNT = 12
SIZE = 400_000
"""Bytes of each; noise, so that they stay as many."""
NAME = "file"
SMALL = 100


@dataclass
class Bench:
    """A file of blocks, and who read what of it.

    Attributes:
        failing: the offsets whose reading fails.
        reads: offset and thread of each read since the file was opened.
    """

    raw: bytearray
    packed: tuple[Packed, ...] = ()
    failing: set[int] = field(default_factory=set)
    reads: list[tuple[int, int]] = field(default_factory=list)

    @property
    def file(self) -> OpenFile:
        """To be read."""
        return OpenFile(Path(f"{NAME}.session"), len(self.raw), self._read)

    def _read(self, at: int, size: int) -> bytes:
        self.reads.append((at, threading.get_ident()))
        if at in self.failing:
            raise OSError(errno.EIO, "Input/output error")
        return bytes(self.raw[at : at + size])

    def offset(self, number: int) -> int:
        """Where a block's body lies."""
        return self.packed[number].record.offset

    def damage(self, number: int) -> None:
        """Flip a bit in a block's body."""
        self.raw[self.offset(number) + 1000] ^= 4


def data_of(number: int, size: int = SIZE) -> bytes:
    """What a block holds."""
    return random.Random(number).randbytes(size)  # noqa: S311 - the same each time, and no secret


def bench_of(seal: Seal, size: int = SIZE, count: int = COUNT) -> Bench:
    """A file of so many blocks of one token each."""
    writer = RecordWriter(seal, NAME)
    for number in range(count):
        writer.add(Kind.KV, {"start": number}, zstandard.ZstdCompressor(1).compress(data_of(number, size)))
    bench = Bench(bytearray(b"".join(bytes(piece) for piece in writer.pieces)))
    found = enumerate(records(bench.file, seal))
    bench.packed = tuple(Packed(KvBlock(number, 1, 1, b""), record, size) for number, record in found)
    bench.reads.clear()
    return bench


@pytest.fixture(name="bench")
def make_bench(seal: Seal) -> Bench:
    """A file that is worth threads."""
    return bench_of(seal)


def expected(count: int) -> tuple[KvBlock, ...]:
    """The first blocks with their data."""
    return tuple(KvBlock(number, 1, 1, data_of(number)) for number in range(count))


class Watched(Plain):
    """A seal that encrypts nothing.

    Attributes:
        threads: who opened something.
        refused: for what there is no memory.
    """

    hides = True

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.refused = b""

    def open(self, data: bytes, context: bytes) -> bytes | None:
        """The same bytes."""
        self.threads.add(threading.current_thread().name)
        if data == self.refused:
            raise MemoryError
        return super().open(data, context)


def test_all_come_in_order_with_their_data(bench: Bench, seal: Seal) -> None:
    """As views, which those who only remember a row's contents can refer to weakly."""
    found = filled(bench.file, bench.packed, seal)
    assert found == expected(COUNT)
    assert all(isinstance(block.data, memoryview) for block in found)


def test_the_one_who_asks_reads_alone_and_in_order(bench: Bench, seal: Seal) -> None:
    """A disk that hangs holds up one thread, and the same reads happen each time."""
    filled(bench.file, bench.packed, seal)
    assert bench.reads == [(bench.offset(number), threading.get_ident()) for number in range(COUNT)]


@pytest.mark.parametrize("number", [0, 1, 5, COUNT - 1])
def test_a_damaged_block_costs_itself_and_what_lies_behind(bench: Bench, seal: Seal, number: int) -> None:
    """Whichever thread finds it, and whatever the others found meanwhile."""
    bench.damage(number)
    assert filled(bench.file, bench.packed, seal) == expected(number)


@pytest.mark.parametrize("number", [0, 1, 5, COUNT - 1])
def test_a_file_that_was_cut_off_gives_what_it_has(bench: Bench, seal: Seal, number: int) -> None:
    """A read that is too short is a damaged block."""
    del bench.raw[bench.offset(number) + 1000 :]
    assert filled(bench.file, bench.packed, seal) == expected(number)


def test_a_block_of_another_size_is_damaged(bench: Bench, seal: Seal) -> None:
    """The model says how large it is."""
    wrong = (*bench.packed[:3], replace(bench.packed[3], size=SIZE + 1), *bench.packed[4:])
    assert filled(bench.file, wrong, seal) == expected(3)


@pytest.mark.parametrize("number", [0, 1, 5, COUNT - 1])
def test_what_the_disk_does_not_give_is_an_error(bench: Bench, seal: Seal, number: int) -> None:
    """And no shorter conversation; behind it nothing is read."""
    bench.failing.add(bench.offset(number))
    with pytest.raises(OSError, match="Input/output"):
        filled(bench.file, bench.packed, seal)
    assert len(bench.reads) == number + 1


def test_what_the_disk_does_not_give_behind_a_damaged_block_does_not_matter(bench: Bench, seal: Seal) -> None:
    """Although it is read before the damage is known: nobody would have asked for it."""
    bench.damage(4)
    bench.failing.add(bench.offset(5))
    assert filled(bench.file, bench.packed, seal) == expected(4)


def test_what_fails_in_a_thread_is_raised() -> None:
    """Nothing is lost silently, and the threads are gone."""
    seal = Watched()
    bench = bench_of(seal)
    record = bench.packed[6].record
    seal.refused = bytes(bench.raw[record.offset : record.end])
    with pytest.raises(MemoryError):
        filled(bench.file, bench.packed, seal)
    assert not unpacking_threads()


def unpacking_threads() -> list[str]:
    """Those that are there now."""
    return [each.name for each in threading.enumerate() if each.name.startswith("unpack")]


def test_threads_live_as_long_as_the_call() -> None:
    """They open and decompress all, and none is left."""
    seal = Watched()
    bench = bench_of(seal)
    seal.threads.clear()
    assert filled(bench.file, bench.packed, seal) == expected(COUNT)
    assert seal.threads
    assert all(name.startswith("unpack") for name in seal.threads)
    assert len(seal.threads) <= min(4, len(os.sched_getaffinity(0)))
    assert not unpacking_threads()


@pytest.mark.parametrize(("size", "count"), [(SMALL, COUNT), (COUNT * SIZE, 1)])
def test_what_is_done_before_a_thread_has_started_gets_none(size: int, count: int) -> None:
    """A few short turns, and a single block."""
    seal = Watched()
    bench = bench_of(seal, size, count)
    seal.threads.clear()
    assert len(filled(bench.file, bench.packed, seal)) == count
    assert seal.threads == {threading.current_thread().name}


def test_a_box_that_gives_no_threads_gives_the_conversation(
    bench: Bench, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert filled(bench.file, bench.packed, seal) == expected(COUNT)


def test_a_long_session_comes_back_through_the_store(tmp_path: Path) -> None:
    """Whole, and without what lies behind a damaged block."""
    model = replace(MODEL, kv_bytes_per_token=SIZE)
    turn = Turn(1, NOW, 0, tuple(range(COUNT)), 0, ())
    told = reduce(Conversation.having, expected(COUNT), empty(model=model).after(turn))
    store = open_store(tmp_path)
    store.save(told)
    found = store.load(KEY, model)
    assert isinstance(found, Found)
    assert (found.conversation, found.damaged) == (told, False)
    path = file_of(tmp_path)
    raw = bytearray(path.read_bytes())
    # In the last block but one.
    raw[-SIZE * 3 // 2] ^= 1
    path.write_bytes(raw)
    found = store.load(KEY, model)
    assert isinstance(found, Found)
    assert (found.conversation.blocks, found.damaged) == (told.blocks[:-2], True)


@pytest.mark.parametrize(("most", "most_bytes", "ahead"), [(3, 1 << 30, 3), (8, 2 * SIZE + 1000, 2), (8, 1, 1)])
def test_what_is_read_before_it_is_wanted_is_bounded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, most: int, most_bytes: int, ahead: int
) -> None:
    """By number and by bytes; one that is larger than that is read when it is its turn."""
    monkeypatch.setattr(bodies, "_AHEAD_BYTES", most_bytes)

    def begin(each: Packed, raw: bytes) -> Future[KvBlock | None]:
        del raw
        done: Future[KvBlock | None] = Future()
        done.set_result(each.block)
        return done

    read = [len(bench.reads) for _ in bodies._in_order(bench.file, bench.packed, begin, most)]
    assert read == [min(number + ahead, COUNT) for number in range(COUNT)]
