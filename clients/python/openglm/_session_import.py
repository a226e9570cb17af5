"""A session's file on its way to the daemon."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from openglm._fields import bad, fill
from openglm.v1 import sessions_pb2

PIECE_BYTES = 1 << 20


class Readable(Protocol):
    """What has bytes to read, as a file that was opened in binary mode."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


FileSource = str | Path | BinaryIO | Readable | Iterable[bytes]


class Upload(Iterator[sessions_pb2.ImportSessionRequest]):
    """The messages of one ImportSession call. gRPC asks for them in a thread of its own, and tells nobody of errors.

    Attributes:
        failure: what went wrong on this side while it was read.
    """

    def __init__(self, session_id: str, source: FileSource) -> None:
        """Begin. Raises OSError if the file cannot be opened, InvalidArgumentError if that can be no name."""
        self.failure: Exception | None = None
        self._first = sessions_pb2.ImportSessionRequest()
        fill(self._first, {"session_id": session_id})
        # Without a buffer, whose lock gRPC's thread may hold: `close` would wait for who writes into a pipe.
        self._opened = Path(source).open("rb", buffering=0) if isinstance(source, str | Path) else None  # noqa: SIM115 - see close
        self._pieces = pieces(self._opened or source)  # type: ignore[arg-type]  # a path is open now
        self._begun = False
        self._closed = False

    def __next__(self) -> sessions_pb2.ImportSessionRequest:
        try:
            data = next(self._pieces, b"")
        except Exception as failure:
            if not self._closed:
                self.failure = failure
                raise
            data = b""
        # Once the call is over, gRPC's thread may still ask, and would log what it is told.
        if self._closed or (self._begun and not data):
            raise StopIteration
        message = sessions_pb2.ImportSessionRequest() if self._begun else self._first
        self._begun = True
        message.data = data
        return message

    def close(self) -> None:
        """The call is over: give no more, and close what was opened here."""
        self._closed = True
        if self._opened is not None:
            self._opened.close()


def pieces(source: Readable | Iterable[bytes]) -> Iterator[bytes]:
    """The source's bytes, as large at once as a message may have them."""
    if hasattr(source, "read"):
        while data := source.read(PIECE_BYTES):
            yield _checked(data)
        return
    for data in source:
        for start in range(0, len(_checked(data)), PIECE_BYTES):
            yield data[start : start + PIECE_BYTES]


def _checked(data: object) -> bytes:
    if not isinstance(data, bytes):
        raise bad("source", f"must give bytes; got {type(data).__name__}")
    return data
