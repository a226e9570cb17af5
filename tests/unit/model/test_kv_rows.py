"""KV memory: where a row is, and what moves with it."""

import ctypes
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from autoglmd.messages.sessions import KvBlock
from autoglmd.model import kv_rows
from autoglmd.model.device import CPU
from autoglmd.model.kv_rows import DeviceKvRows, HostKvRows, KvTensor

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")
ROWS, HEADS, CONTEXT, WIDTH = 3, 2, 8, 4
TENSORS = (
    KvTensor("past.k", "present.k", np.dtype(np.float32), HEADS, WIDTH),
    KvTensor("past.v", "present.v", np.dtype(np.int8), HEADS, WIDTH),
)
Rows = HostKvRows | DeviceKvRows
BOTH = pytest.mark.parametrize(
    "make",
    [
        lambda: HostKvRows(TENSORS, ROWS, CONTEXT),
        lambda: DeviceKvRows(TENSORS, ROWS, CONTEXT, (CPU,), "cpu"),
    ],
    ids=["host", "device"],
)


def view(rows: Rows, tensor: int, row: int) -> NDArray[np.generic]:
    """The memory of one row, shape [heads, context, width], as the address says."""
    kind = TENSORS[tensor].dtype
    address = list(rows.pointers(row))[tensor]
    count = HEADS * CONTEXT * WIDTH
    memory: Any = (ctypes.c_char * (count * kind.itemsize)).from_address(address)
    return np.ndarray((HEADS, CONTEXT, WIDTH), kind, memory)


def fill(rows: Rows) -> None:
    """Every row gets its own number everywhere."""
    for tensor in range(len(TENSORS)):
        for row in range(ROWS):
            view(rows, tensor, row)[:] = row + 1


@BOTH
def test_rows_lie_behind_one_another_and_do_not_overlap(make: Callable[[], Rows]) -> None:
    """A row's address and size are those that a binding of several neighbouring rows assumes."""
    rows = make()
    fill(rows)
    for tensor, kind in enumerate(TENSORS):
        addresses = [list(rows.pointers(row))[tensor] for row in range(ROWS)]
        assert np.diff(addresses).tolist() == [HEADS * CONTEXT * WIDTH * kind.dtype.itemsize] * (ROWS - 1)
        assert [set(view(rows, tensor, row).flat) for row in range(ROWS)] == [{1}, {2}, {3}]


@BOTH
def test_a_move_brings_all_heads_of_all_tensors_and_touches_no_third_row(make: Callable[[], Rows]) -> None:
    """The first positions of the source are in the target; another row is as it was."""
    rows = make()
    fill(rows)
    rows.move(2, 0, 5)
    for tensor in range(len(TENSORS)):
        assert set(view(rows, tensor, 0)[:, :5].flat) == {3}
        assert set(view(rows, tensor, 1).flat) == {2}
        assert set(view(rows, tensor, 2).flat) == {3}


def test_bytes_per_token_are_those_of_one_position() -> None:
    """Heads times width times the size of a number."""
    assert [tensor.bytes_per_token for tensor in TENSORS] == [32, 8]


def test_host_rows_take_memory_only_where_they_are_written() -> None:
    """A gigabyte of rows costs nothing until tokens are in them, and then what the tokens take."""
    tensor = KvTensor("k", "p", np.dtype(np.float32), 8, 128)
    process = psutil.Process()
    before = process.memory_info().rss
    rows = HostKvRows((tensor,), 16, 16384)
    assert process.memory_info().rss - before < 64 << 20
    rows._buffers[0][3, :, :100] = 1
    assert process.memory_info().rss - before < 64 << 20
    rows._buffers[0][3, :, :12000] = 1
    assert process.memory_info().rss - before > 40 << 20


@pytest.mark.skipif(not HUGE_PAGES.exists(), reason="this kernel has no transparent huge pages")
def test_host_rows_are_kept_from_huge_pages() -> None:
    """A page of two megabytes for the first token of each head would commit rows that nobody fills."""
    rows = HostKvRows((KvTensor("k", "p", np.dtype(np.float32), 8, 128),), 2, 16384)
    address = next(rows.pointers(1))
    regions = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())[1:]
    bounds = [tuple(int(end, 16) for end in region.split(" ", 1)[0].split("-")) for region in regions]
    (ours,) = [region for region, (low, high) in zip(regions, bounds, strict=True) if low <= address < high]
    assert "nh" in ours.rpartition("VmFlags:")[2].split()


def test_what_blocks_take_is_committed_before_they_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, which is much faster, and no more than that; a kernel that refuses makes no difference."""
    tensor = KvTensor("k", "p", np.dtype(np.int8), 8, 1024)
    rows = HostKvRows((tensor,), 2, 16384)
    block = KvBlock(100, 2000, 2000, bytes(2000 * tensor.bytes_per_token))
    with monkeypatch.context() as held:
        held.setattr(kv_rows, "_scatter", lambda *_: None)
        before = psutil.Process().memory_info().rss
        rows.write(1, (block,))
        taken = psutil.Process().memory_info().rss - before
    assert len(block.data) <= taken < len(block.data) + (4 << 20)
    monkeypatch.setattr(kv_rows, "_POPULATE_WRITE", 9999)
    rows.rest()
    rows.write(1, (replace(block, data=b"\7" * len(block.data)),))
    assert (rows._buffers[0][1, :, 100:2100] == 7).all()
    assert not rows._buffers[0][1, :, :100].any()
    assert not rows._buffers[0][1, :, 2100:].any()


def test_resting_gives_the_memory_back_and_keeps_the_addresses() -> None:
    """Sixteen megabytes, written and no longer needed; afterwards the rows can be written again."""
    tensor = KvTensor("past.k", "present.k", np.dtype(np.float32), 1, 1024)
    rows = HostKvRows((tensor,), 1, 4096)
    (address,) = rows.pointers(0)
    memory: Any = (ctypes.c_char * (16 << 20)).from_address(address)
    written = np.frombuffer(memory, np.uint8)
    written[:] = 7
    before = psutil.Process().memory_info().rss
    rows.rest()
    assert before - psutil.Process().memory_info().rss > 12 << 20
    assert list(rows.pointers(0)) == [address]
    assert not written.any()
    written[:] = 8
    assert (written == 8).all()


@BOTH
def test_resting_is_harmless_at_any_time(make: Callable[[], Rows]) -> None:
    """Before the first use, and twice."""
    rows = make()
    before = list(rows.pointers(0))
    rows.rest()
    rows.rest()
    fill(rows)
    assert list(rows.pointers(0)) == before
    assert [int(view(rows, 0, row).max()) for row in range(ROWS)] == list(range(1, ROWS + 1))


@BOTH
def test_what_was_read_of_a_row_is_there_again_after_it_was_written(make: Callable[[], Rows]) -> None:
    """Bit for bit, in any row, and nothing beside it changes."""
    rows = make()
    fill(rows)
    generator = np.random.default_rng(7)
    for tensor in range(len(TENSORS)):
        view(rows, tensor, 1)[:] = generator.integers(-100, 100, (HEADS, CONTEXT, WIDTH))
    expected = [view(rows, tensor, 1).copy() for tensor in range(len(TENSORS))]
    block = KvBlock(2, 4, 5, rows.read(1, (2, 7))[0])
    assert memoryview(block.data).nbytes == 5 * sum(tensor.bytes_per_token for tensor in TENSORS)
    rows.write(2, (block,))
    for tensor, was in enumerate(expected):
        now = view(rows, tensor, 2)
        assert np.array_equal(now[:, 2:6], was[:, 2:6])
        assert set(now[:, :2].flat) == set(now[:, 6:].flat) == {3}
        assert np.array_equal(view(rows, tensor, 1), was)
