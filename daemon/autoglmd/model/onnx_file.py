"""Reads from a model.onnx what preparing needs: operators, and where the weights lie in the file beside it.

Only the protobuf wire format and a few field numbers of onnx.proto are needed for that, so the daemon does without
the onnx package. Format: https://protobuf.dev/programming-guides/encoding/; numbers:
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autoglmd.errors.model import ModelCorruptError

FLOAT, INT8 = 1, 3
"""TensorProto.DataType."""
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_NODE_INPUT, _NODE_OP_TYPE = 1, 4
_TENSOR_DATA_TYPE, _TENSOR_NAME, _TENSOR_EXTERNAL = 2, 8, 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Operator:
    """One node of the graph."""

    kind: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExternalTensor:
    """A weight that lies in another file: `length` bytes from `offset` on."""

    name: str
    data_type: int
    file: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class GraphFile:
    """What was read."""

    operators: tuple[Operator, ...]
    tensors: dict[str, ExternalTensor]
    """By name; those that lie in model.onnx itself are not among them."""


def read_graph(path: Path) -> GraphFile:
    """Read the graph in `path`.

    Raises:
        ModelCorruptError: the file is not a serialized model.
    """
    try:
        return _graph(memoryview(path.read_bytes()))
    except (IndexError, ValueError, KeyError) as error:
        raise ModelCorruptError(f"{path} is not an ONNX model: {error}") from error


def shortage(graph: GraphFile, folder: Path) -> str:
    """Which of the weights' files in `folder` is shorter than the graph needs, in a sentence; empty if none is."""
    needed: dict[str, int] = {}
    for tensor in graph.tensors.values():
        needed[tensor.file] = max(needed.get(tensor.file, 0), tensor.offset + tensor.length)
    for name, size in needed.items():
        file = folder / name
        there = file.stat().st_size if file.is_file() else 0
        if there < size:
            return f"{file} has {there} bytes; the graph needs {size}."
    return ""


def _graph(data: memoryview) -> GraphFile:
    operators: list[Operator] = []
    tensors: dict[str, ExternalTensor] = {}
    for number, graph in _messages(data):
        if number != _GRAPH:
            continue
        for field, content in _messages(graph):
            if field == _NODE:
                operators.append(_operator(content))
            elif field == _INITIALIZER and (tensor := _tensor(content)):
                tensors[tensor.name] = tensor
    return GraphFile(tuple(operators), tensors)


def _operator(data: memoryview) -> Operator:
    inputs = tuple(_text(value) for number, value in _messages(data) if number == _NODE_INPUT)
    return Operator(_text(_first(data, _NODE_OP_TYPE)), inputs)


def _tensor(data: memoryview) -> ExternalTensor | None:
    entries = dict(_entry(value) for number, value in _messages(data) if number == _TENSOR_EXTERNAL)
    if "location" not in entries:
        return None
    if Path(entries["location"]).name != entries["location"]:
        raise ValueError(f"weights in {entries['location']!r}, which is not beside the graph")
    kinds = [value for number, value in _fields(data) if number == _TENSOR_DATA_TYPE and isinstance(value, int)]
    return ExternalTensor(
        name=_text(_first(data, _TENSOR_NAME)),
        data_type=kinds[0],
        file=entries["location"],
        offset=int(entries.get("offset", 0)),
        length=int(entries["length"]),
    )


def _entry(data: memoryview) -> tuple[str, str]:
    return _text(_first(data, _ENTRY_KEY)), _text(_first(data, _ENTRY_VALUE))


def _first(data: memoryview, wanted: int) -> memoryview:
    return next((value for number, value in _messages(data) if number == wanted), memoryview(b""))


def _messages(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields that hold bytes: strings and messages."""
    return ((number, value) for number, value in _fields(data) if isinstance(value, memoryview))


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Walk one message: field numbers with their values."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        length, position = _length(data, kind, position)
        if position + length > len(data):
            raise ValueError("a field reaches beyond the end")
        yield key >> 3, data[position : position + length]
        position += length


def _length(data: memoryview, kind: int, position: int) -> tuple[int, int]:
    if kind == _BYTES:
        return _varint(data, position)
    if kind in (_FIXED32, _FIXED64):
        return (4 if kind == _FIXED32 else 8), position
    raise ValueError(f"wire type {kind} is unknown")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _text(data: memoryview) -> str:
    return bytes(data).decode()
