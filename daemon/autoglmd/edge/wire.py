"""Raw request bytes to protobuf messages; a string that is not UTF-8 is refused by its field's name.

gRPC would answer such bytes with UNKNOWN and an exception's text, and protobuf's own error names no field.
"""

from collections.abc import Iterator
from itertools import count
from typing import TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from autoglmd.errors.request import InvalidArgumentError

AnyMessage = TypeVar("AnyMessage", bound=Message)
WHOLE = "request"
# The search for the field's name is a courtesy: whoever sends more than this before it does without, because everybody
# else's streams wait meanwhile.
SEARCHED_FIELDS = 1000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def decode(raw: bytes, kind: type[AnyMessage]) -> AnyMessage:
    """Parse a request.

    Raises:
        InvalidArgumentError: the bytes are no such message; names the field where it is a string's encoding.
    """
    try:
        return kind.FromString(raw)
    except DecodeError:
        field = _first_badly_encoded(raw, cast(Descriptor, kind.DESCRIPTOR))
    if field is None:
        raise InvalidArgumentError(WHOLE, f"is not a {kind.DESCRIPTOR.full_name} in protobuf's wire format.")
    raise InvalidArgumentError(field, "is not valid UTF-8. Encode text as UTF-8.")


def _first_badly_encoded(raw: bytes, kind: Descriptor) -> str | None:
    try:
        return next(_badly_encoded(memoryview(raw), kind, "", count()), None)
    except (IndexError, ValueError):
        return None


def _badly_encoded(raw: memoryview, kind: Descriptor, prefix: str, seen: "count[int]") -> Iterator[str]:
    """The paths of string fields whose bytes are not UTF-8. Raises IndexError or ValueError at what is not protobuf."""
    indices: dict[int, int] = {}
    for number, data in _length_delimited(raw, seen):
        index = indices[number] = indices.get(number, -1) + 1
        field = kind.fields_by_number.get(number)
        if field is None:
            continue
        place = f"{prefix}{field.name}[{index}]" if field.is_repeated else f"{prefix}{field.name}"
        if field.message_type is not None:
            yield from _badly_encoded(data, field.message_type, f"{place}.", seen)
        elif field.type == FieldDescriptor.TYPE_STRING and not _is_utf8(data):
            yield place


def _length_delimited(raw: memoryview, seen: "count[int]") -> Iterator[tuple[int, memoryview]]:
    """The fields that may hold text: their numbers and bytes. Every field of the whole request counts as seen."""
    position = 0
    while position < len(raw):
        if next(seen) >= SEARCHED_FIELDS:
            raise ValueError("too many fields to search")
        key, position = _varint(raw, position)
        kind = key & 7
        if kind == _VARINT:
            _, position = _varint(raw, position)
        elif kind in _FIXED:
            position += _FIXED[kind]
        elif kind == _BYTES:
            length, position = _varint(raw, position)
            if position + length > len(raw):
                raise ValueError("a field reaches beyond the end")
            yield key >> 3, raw[position : position + length]
            position += length
        else:
            raise ValueError("a group, or no wire type at all")


def _varint(raw: memoryview, position: int) -> tuple[int, int]:
    """The number at `position`, of at most ten bytes, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number of more than ten bytes")


def _is_utf8(data: memoryview) -> bool:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
