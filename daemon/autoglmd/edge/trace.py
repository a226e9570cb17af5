"""W3C Trace Context: the caller's trace goes on, or a fresh one begins. Source: https://www.w3.org/TR/trace-context/."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

HEADER = "traceparent"
# version - trace id - parent id - flags, in lower-case hex; later versions may append "-more".
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_FORBIDDEN_VERSION = "ff"
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Our place in a trace.

    Attributes:
        trace_id: 32 lower-case hex digits, shared by all who work on the caller's errand.
        span_id: 16 of them; ours.
        sampled: the caller records its trace.
    """

    trace_id: str
    span_id: str
    sampled: bool = False

    @property
    def traceparent(self) -> str:
        """The header that names us as the parent."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED * self.sampled:02x}"


def trace_of(metadata: Sequence[tuple[str, str | bytes]]) -> TraceContext:
    """Continue the trace that the call's metadata names; start one if there is none, or not exactly one."""
    found = [value for key, value in metadata if key == HEADER]
    caller = _parse(found[0]) if len(found) == 1 else None
    span_id = _random_hex(8)
    if caller is None:
        return TraceContext(_random_hex(16), span_id)
    return TraceContext(caller.trace_id, span_id, caller.sampled)


def _parse(value: str | bytes) -> TraceContext | None:
    """The caller's place; `None` where the specification says to ignore the header."""
    match = _FORM.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    known_form = version != _FORBIDDEN_VERSION and (version != "00" or more is None)
    if not known_form or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def _random_hex(size_bytes: int) -> str:
    """Random and not all zeros, which means "invalid"."""
    while not int(drawn := secrets.token_hex(size_bytes), 16):
        continue
    return drawn
