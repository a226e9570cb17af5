"""What comes with a gRPC status, beside its code and message."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What came with a status, beside its message.

    Attributes:
        code: the daemon's stable code, or empty.
        metadata: the numbers and names of that error, as text.
        fields: the names of the request's bad fields.
        retry_after: seconds after which the daemon asks to be tried again, if it said so.
    """

    code: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    retry_after: float | None = None

    def number(self, name: str) -> int:
        """One of the metadata as a count; zero if the daemon left it out."""
        text = self.metadata.get(name, "")
        return int(text) if text.lstrip("-").isdigit() else 0
