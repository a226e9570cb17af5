"""Raw request bytes to protobuf messages; a string that is not UTF-8 is refused by its field's name.

gRPC would answer such bytes with UNKNOWN and an exception's text, and protobuf's own error names no field.
"""

from collections.abc import Iterator
from typing import TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from autoglmd.errors import InvalidArgumentError

AnyMessage = TypeVar("AnyMessage", bound=Message)
WHOLE = "request"


def decode(raw: bytes, kind: type[AnyMessage]) -> AnyMessage:
    """Parse a request.

    Raises:
        InvalidArgumentError: the bytes are no such message; names the field where it is a string's encoding.
    """
    try:
        return kind.FromString(raw)
    except DecodeError:
        field = next(_badly_encoded(raw, cast(Descriptor, kind.DESCRIPTOR), ""), None)
    if field is None:
        raise InvalidArgumentError(WHOLE, f"is not a {kind.DESCRIPTOR.full_name} in protobuf's wire format.")
    raise InvalidArgumentError(field, "is not valid UTF-8. Encode text as UTF-8.")


def _badly_encoded(raw: bytes, kind: Descriptor, prefix: str) -> Iterator[str]:
    """The paths of string fields whose bytes are not UTF-8."""
    try:
        # A message without fields of its own keeps all of them as unknown, in order and unchecked.
        present = UnknownFieldSet(Empty.FromString(raw))
    except DecodeError:
        return
    counts: dict[int, int] = {}
    for position in range(len(present)):
        entry = present[position]
        index = counts.setdefault(entry.field_number, 0)
        counts[entry.field_number] += 1
        field = kind.fields_by_number.get(entry.field_number)
        if field is not None and isinstance(entry.data, bytes):
            place = f"{prefix}{field.name}[{index}]" if field.is_repeated else f"{prefix}{field.name}"
            yield from _badly_encoded_field(entry.data, field, place)


def _badly_encoded_field(data: bytes, field: FieldDescriptor, place: str) -> Iterator[str]:
    if field.message_type is not None:
        yield from _badly_encoded(data, field.message_type, f"{place}.")
    elif field.type == FieldDescriptor.TYPE_STRING and not _is_utf8(data):
        yield place


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
