"""Which request the running code works for: so that its log lines say so without being told.

A context variable follows asyncio tasks. It does not follow work into threads: those pass `extra=scope.fields`.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestScope:
    """The names of one request. Empty: not known (yet)."""

    request_id: str = ""
    trace_id: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """What log lines get, for `extra`; the empty ones are left out."""
        named = {"request_id": self.request_id, "trace_id": self.trace_id}
        return {name: value for name, value in named.items() if value}


OUTSIDE = RequestScope()
_current: ContextVar[RequestScope] = ContextVar("request_scope", default=OUTSIDE)


def current_scope() -> RequestScope:
    """The scope of the running task; an empty one outside of any request."""
    return _current.get()


@contextlib.contextmanager
def request_scope(request_id: str = "", trace_id: str = "") -> Iterator[RequestScope]:
    """Log lines inside the block carry these; what is empty is taken from the scope outside."""
    outer = _current.get()
    scope = RequestScope(request_id or outer.request_id, trace_id or outer.trace_id)
    token = _current.set(scope)
    try:
        yield scope
    finally:
        _current.reset(token)


def name_request(request_id: str) -> None:
    """The running scope is this request's from here to its end, not just to the end of a block."""
    _current.set(RequestScope(request_id, _current.get().trace_id))
