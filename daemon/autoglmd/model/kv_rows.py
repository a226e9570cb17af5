"""The memory of the KV cache: one buffer per layer and side, `[rows, kv_heads, context, head_size]`.

Host memory is mapped and not touched, so the kernel commits a page when a token is first written there: a short
conversation in a long row costs its own length. When nobody has a row the pages are given back: an idle daemon with
large rows costs nothing.
"""

import contextlib
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from autoglmd.errors.base import HostError
from autoglmd.messages.sessions import KvBlock

# One Identity node on bytes, as a serialized ONNX model: the one way to copy memory on any provider's device.
_COPY_GRAPH = (
    b'\x08\t:X\n\x1a\n\x06source\x12\x06target"\x08Identity\x12\x04moveZ\x19\n\x06source\x12\x0f\n\r\x08\x02\x12\t\n\x07'
    b"\x12\x05bytesb\x19\n\x06target\x12\x0f\n\r\x08\x02\x12\t\n\x07\x12\x05bytesB\x04\n\x00\x10\x11"
)


# Linux's, since 5.14; Python names it since 3.14.
_POPULATE_WRITE = 23
# What is less than so many pages in one piece is as fast touched one by one.
_LEAST_PAGES = 16


@dataclass(frozen=True, slots=True)
class KvTensor:
    """One KV input of the graph and the output that continues it."""

    past: str
    present: str
    dtype: np.dtype[np.generic]
    heads: int
    width: int

    @property
    def bytes_per_token(self) -> int:
        """Bytes that one position of one row takes."""
        return self.heads * self.width * self.dtype.itemsize


class HostKvRows:
    """KV rows in the box's memory."""

    device = "cpu"

    def __init__(self, tensors: tuple[KvTensor, ...], rows: int, context_tokens: int) -> None:
        """Map the rows; nothing is committed yet. Raises HostError where the box does not give that much."""
        self._buffers: list[NDArray[np.generic]] = []
        self._mappings: list[mmap.mmap] = []
        for tensor in tensors:
            shape = (rows, tensor.heads, context_tokens, tensor.width)
            # Private: shared anonymous memory is a file to the kernel, slower to touch, and commits what is only read.
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            try:
                memory = mmap.mmap(-1, prod(shape) * tensor.dtype.itemsize, flags=flags)
            except (OSError, OverflowError) as error:
                size = rows * context_tokens * sum(each.bytes_per_token for each in tensors)
                raise HostError(
                    f"Keys and values of {rows} rows of {context_tokens} tokens take {size >> 20} MiB, which this box "
                    f"refuses: {error}. Lower engine.rows or engine.context_tokens."
                ) from error
            with contextlib.suppress(OSError):
                # Where huge pages are the default, one token per head would commit the whole row.
                memory.madvise(mmap.MADV_NOHUGEPAGE)
            self._mappings.append(memory)
            self._buffers.append(np.frombuffer(memory, tensor.dtype).reshape(shape))

    def pointers(self, row: int) -> Iterator[int]:
        """Address of `row` in each buffer."""
        return (buffer.ctypes.data + row * buffer.strides[0] for buffer in self._buffers)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one row to another."""
        for buffer in self._buffers:
            buffer[target, :, :length] = buffer[source, :, :length]

    def read(self, row: int, cuts: Sequence[int]) -> list[memoryview]:
        """A copy of what lies between each cut and the next in a row, laid out as KvBlock.data."""
        return _between([buffer[row] for buffer in self._buffers], cuts)

    def write(self, row: int, blocks: Sequence[KvBlock]) -> None:
        """Put blocks back to their positions."""
        if blocks:
            self._commit(row, min(block.start for block in blocks), max(block.stop for block in blocks))
        for block in blocks:
            _scatter(block, [buffer[row, :, block.start : block.stop] for buffer in self._buffers])

    def _commit(self, row: int, start: int, stop: int) -> None:
        """Have the kernel commit what positions take all at once: page by page it takes about twice as long."""
        for memory, buffer in zip(self._mappings, self._buffers, strict=True):
            token_bytes = buffer.strides[2]
            if (stop - start) * token_bytes < _LEAST_PAGES * mmap.PAGESIZE:
                continue
            for head in range(buffer.shape[1]):
                first = row * buffer.strides[0] + head * buffer.strides[1] + start * token_bytes
                at = first - first % mmap.PAGESIZE
                # A kernel that does not know how commits each page when it is written.
                with contextlib.suppress(OSError):
                    memory.madvise(_POPULATE_WRITE, at, first + (stop - start) * token_bytes - at)

    def rest(self) -> None:
        """Give the pages back to the kernel; the addresses stay, and read as zeros until they are written again."""
        for memory in self._mappings:
            # A sandbox that does not know how keeps them, which is no error.
            with contextlib.suppress(OSError):
                memory.madvise(mmap.MADV_DONTNEED)


class DeviceKvRows:
    """KV rows in an accelerator's memory, allocated through onnxruntime."""

    def __init__(
        self,
        tensors: tuple[KvTensor, ...],
        rows: int,
        context_tokens: int,
        providers: tuple[str, ...],
        device: str,
    ) -> None:
        self.device = device
        self._copier = ort.InferenceSession(_COPY_GRAPH, providers=list(providers))
        self._values: list[ort.OrtValue] = []
        self._row_bytes: list[int] = []
        self._shapes = [(tensor.dtype, (tensor.heads, context_tokens, tensor.width)) for tensor in tensors]
        for tensor in tensors:
            shape = [rows, tensor.heads, context_tokens, tensor.width]
            self._values.append(ort.OrtValue.ortvalue_from_shape_and_type(shape, tensor.dtype.type, device, 0))
            self._row_bytes.append(prod(shape[1:]) * tensor.dtype.itemsize)

    def pointers(self, row: int) -> Iterator[int]:
        """Address of `row` in each buffer."""
        pairs = zip(self._values, self._row_bytes, strict=True)
        return (value.data_ptr() + row * row_bytes for value, row_bytes in pairs)

    def move(self, source: int, target: int, length: int) -> None:  # noqa: ARG002 - whole rows are one copy here
        """Copy one row to another without leaving the device."""
        pairs = zip(self.pointers(source), self.pointers(target), self._row_bytes, strict=True)
        for source_pointer, target_pointer, row_bytes in pairs:
            binding = self._copier.io_binding()
            binding.bind_input("source", self.device, 0, np.uint8, [row_bytes], source_pointer)
            binding.bind_output("target", self.device, 0, np.uint8, [row_bytes], target_pointer)
            self._copier.run_with_iobinding(binding)

    def read(self, row: int, cuts: Sequence[int]) -> list[memoryview]:
        """Copies in the box's memory, laid out as KvBlock.data. The row leaves the device once."""
        return _between(self._copy_out(row), cuts)

    def write(self, row: int, blocks: Sequence[KvBlock]) -> None:
        """Put blocks back to their positions. Whole rows travel: what else is in the row stays as it is."""
        rows = self._copy_out(row)
        for block in blocks:
            _scatter(block, [each[:, block.start : block.stop] for each in rows])
        for pointer, held, row_bytes in zip(self.pointers(row), rows, self._row_bytes, strict=True):
            binding = self._copier.io_binding()
            binding.bind_cpu_input("source", held.view(np.uint8).reshape(-1))
            binding.bind_output("target", self.device, 0, np.uint8, [row_bytes], pointer)
            self._copier.run_with_iobinding(binding)

    def _copy_out(self, row: int) -> list[NDArray[np.generic]]:
        """A row of each buffer in the box's memory, shape [heads, context, width]."""
        copies = []
        for pointer, row_bytes in zip(self.pointers(row), self._row_bytes, strict=True):
            held = np.empty(row_bytes, np.uint8)
            binding = self._copier.io_binding()
            binding.bind_input("source", self.device, 0, np.uint8, [row_bytes], pointer)
            binding.bind_output("target", "cpu", 0, np.uint8, [row_bytes], held.ctypes.data)
            self._copier.run_with_iobinding(binding)
            copies.append(held)
        return [each.view(kind).reshape(shape) for each, (kind, shape) in zip(copies, self._shapes, strict=True)]

    def rest(self) -> None:
        """An accelerator's memory is taken once and kept."""


def _between(held: Sequence[NDArray[np.generic]], cuts: Sequence[int]) -> list[memoryview]:
    """What each of the buffers, [heads, context, width], holds between one cut and the next."""
    return [_gathered([each[:, start:stop] for each in held]) for start, stop in pairwise(cuts)]


def _gathered(pieces: Sequence[NDArray[np.generic]]) -> memoryview:
    """The pieces behind one another, each in its own order."""
    held = np.empty(sum(piece.nbytes for piece in pieces), np.uint8)
    offset = 0
    for piece in pieces:
        held[offset : offset + piece.nbytes].view(piece.dtype).reshape(piece.shape)[...] = piece
        offset += piece.nbytes
    return held.data


def _scatter(block: KvBlock, targets: Sequence[NDArray[np.generic]]) -> None:
    """Put a block's data into the targets, each [heads, tokens, width]: the reverse of `_gathered`."""
    data = np.frombuffer(block.data, np.uint8)
    offset = 0
    for target in targets:
        heads, _, width = target.shape
        size = heads * block.held * width * target.dtype.itemsize
        held = data[offset : offset + size].view(target.dtype).reshape(heads, block.held, width)
        target[...] = held[:, : block.tokens]
        offset += size
