"""A session's file while it comes: what ends its call, and where it is written."""

import asyncio
import os
import resource
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from openglm import DrainingError, OpenGLMError, RequestCancelledError, RetryPolicy
from openglm._private_file import PrivateFile
from openglm._retry import Attempts
from openglm._session_export import AsyncSessionExport, SessionExport


class Refused(grpc.RpcError):
    """What a call raises that the daemon refuses for now."""


class Call:
    """A call that gives these pieces, of either kind of client."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = list(pieces)
        self.is_cancelled = False

    def __next__(self) -> Any:
        if not self._pieces:
            raise StopIteration
        return self._next()

    async def read(self) -> Any:
        """As grpc.aio's."""
        return self._next() if self._pieces else grpc.aio.EOF

    def cancel(self) -> None:
        """End it."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """As grpc.aio's."""
        return self.is_cancelled

    def _next(self) -> Any:
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return SimpleNamespace(data=piece)


def to_error(_: grpc.RpcError) -> OpenGLMError:
    """The daemon stops."""
    return DrainingError("It stops.")


def export(*calls: Call, sleep: Callable[[float], Any] | None = None) -> SessionExport:
    """One that makes these calls."""
    queue = list(calls)
    return SessionExport(lambda _: queue.pop(0), Attempts(RetryPolicy(), None), to_error, sleep)


def async_export(*calls: Call, sleep: Callable[[float], Any] | None = None) -> AsyncSessionExport:
    """The same for asyncio."""
    queue = list(calls)
    return AsyncSessionExport(lambda _: queue.pop(0), Attempts(RetryPolicy(), None), to_error, sleep)


def refuse(_: int) -> None:
    """The disk is full."""
    raise OSError(28, "No space left on device")


def names_in(folder: Path) -> list[str]:
    """What is there."""
    return [path.name for path in folder.iterdir()]


async def test_a_file_that_cannot_be_written_ends_the_call(tmp_path: Path) -> None:
    """The daemon sends to four at once, and would wait a minute for us; nothing is left in the folder."""
    call, other = Call(b"a", b"b"), Call(b"a", b"b")
    with pytest.raises(OSError, match="No space"):
        export(call).save(tmp_path / "home", refuse)
    with pytest.raises(OSError, match="No space"):
        await async_export(other).save(tmp_path / "home", refuse)
    assert call.is_cancelled
    assert other.is_cancelled
    assert names_in(tmp_path) == []


async def test_a_file_that_came_whole_is_not_cancelled(tmp_path: Path) -> None:
    """Its call has ended by itself."""
    call, other = Call(b"a", b"b"), Call(b"a", b"b")
    assert export(call).save(tmp_path / "home") == 2
    assert await async_export(other).save(tmp_path / "home") == 2
    assert not any(each.is_cancelled for each in (call, other))


async def test_what_is_cancelled_makes_no_call_any_more() -> None:
    """Before the first piece, and between two tries."""
    early = export()
    early.cancel()
    with pytest.raises(RequestCancelledError):
        next(early)
    waiting = export(Call(Refused()), sleep=lambda _: waiting.cancel())
    with pytest.raises(RequestCancelledError):
        next(waiting)
    other = async_export()
    other.cancel()
    with pytest.raises(RequestCancelledError):
        await anext(other)


async def test_a_wait_between_two_tries_ends_with_the_cancellation() -> None:
    """At once, also where nobody gave another way to wait."""
    waiting = async_export(Call(Refused()))
    asking = asyncio.ensure_future(anext(waiting))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(RequestCancelledError):
        await asking


@pytest.mark.parametrize("made", [lambda path: os.mkfifo(path), lambda path: path.mkdir()], ids=["pipe", "folder"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, made: Callable[[Path], None]) -> None:
    """Of /dev/null there would be a file with a conversation in it."""
    place = tmp_path / "folder" / "place"
    place.parent.mkdir()
    made(place)
    with pytest.raises(OSError, match="no regular file"):
        PrivateFile(place)
    with pytest.raises(OSError, match="no regular file"):
        PrivateFile(Path(os.devnull))
    assert list(place.parent.iterdir()) == [place]
    assert not place.is_file()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The file that it leads to is what is written."""
    target, link = tmp_path / "there" / "file", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to(target)
    with PrivateFile(link) as file:
        file.write(b"abc")
        file.keep()
    assert link.is_symlink()
    assert target.read_bytes() == b"abc"


def test_a_disk_that_is_full_at_the_last_bytes_keeps_nothing(tmp_path: Path) -> None:
    """They are in a buffer until then, and closing the file tries to write them once more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            export(Call(b"abc")).save(tmp_path / "home")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names_in(tmp_path) == []
