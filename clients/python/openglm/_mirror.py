"""Values that are copies of messages."""

from dataclasses import fields
from typing import Any, Self


class Mirror:
    """A value whose fields are a message's fields, by name and in kind."""

    __slots__ = ()

    @classmethod
    def from_proto(cls, message: Any) -> Self:
        """Copy every field that both have."""
        return cls(**{item.name: getattr(message, item.name) for item in fields(cls)})  # type: ignore[arg-type]  # its own fields
