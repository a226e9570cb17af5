"""A session's file while it comes."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

from openglm._cancellation import CANCELLED_HERE, typed_cancellation
from openglm._errors import OpenGLMError, RequestCancelledError
from openglm._private_file import PrivateFile
from openglm._retry import Attempts

OpenCall = Callable[[float | None], Any]
ToError = Callable[[grpc.RpcError], OpenGLMError]


def _say_nothing(_bytes: int) -> None:
    """Nobody wants to know how far it has come."""


class SessionExport(Iterator[bytes]):
    """The bytes of one session's file, at most 1 MiB at once. The call is made at the first `next`.

    Iterating raises OpenGLMError subclasses, RequestCancelledError after `cancel`; what came before is of no use then.
    """

    def __init__(
        self, open_call: OpenCall, attempts: Attempts, to_error: ToError, sleep: Callable[[float], object] | None
    ) -> None:
        self._open_call = open_call
        self._attempts = attempts
        self._to_error = to_error
        self._cancelled = threading.Event()
        self._sleep = sleep or self._cancelled.wait
        self._call: Any = None
        self._begun = False

    def __next__(self) -> bytes:
        while True:
            try:
                data: bytes = next(self._opened()).data
            except grpc.RpcError as failure:
                error = self._to_error(failure)
            else:
                self._begun = True
                return data
            if self._begun:
                raise error
            # Nothing has come yet, so it may be asked for once more, when the daemon can give it.
            self._sleep(self._attempts.delay_after(error))
            self._call = None

    def save(self, path: Path | str, told: Callable[[int], object] = _say_nothing) -> int:
        """Write the file, with mode 0600. It is there when it is whole; one that was there is replaced.

        Args:
            path: where to.
            told: told the bytes written so far, after each piece.

        Returns:
            Its bytes.

        Raises:
            OpenGLMError: it did not come whole.
            OSError: it cannot be written.
        """
        try:
            with PrivateFile(Path(path)) as file:
                for piece in self:
                    told(file.write(piece))
                return file.keep()
        except BaseException:
            # The daemon sends to few at once, and would wait for us.
            self.cancel()
            raise

    def cancel(self) -> None:
        """Take no more of it. May be called from another thread."""
        self._cancelled.set()
        # Once: the reader's thread may set it to None meanwhile.
        call = self._call
        if call is not None:
            call.cancel()

    def _opened(self) -> Any:
        if self._cancelled.is_set():
            raise RequestCancelledError(CANCELLED_HERE)
        if self._call is None:
            self._call = self._open_call(self._attempts.remaining())
            if self._cancelled.is_set():
                # While it was opened: `cancel` had no call yet, and nobody else would ever end this one.
                self._call.cancel()
        return self._call


class AsyncSessionExport(AsyncIterator[bytes]):
    """As SessionExport, for the asyncio client."""

    def __init__(
        self,
        open_call: OpenCall,
        attempts: Attempts,
        to_error: ToError,
        sleep: Callable[[float], Awaitable[object]] | None,
    ) -> None:
        self._open_call = open_call
        self._attempts = attempts
        self._to_error = to_error
        self._cancelled = asyncio.Event()
        self._sleep = sleep or self._wait_cancelled
        self._call: Any = None
        self._begun = False

    async def __anext__(self) -> bytes:
        while True:
            if self._cancelled.is_set():
                raise RequestCancelledError(CANCELLED_HERE)
            if self._call is None:
                self._call = self._open_call(self._attempts.remaining())
            try:
                with typed_cancellation(self._call):
                    message = await self._call.read()
            except grpc.RpcError as failure:
                error = self._to_error(failure)
            else:
                if message is grpc.aio.EOF:
                    raise StopAsyncIteration
                self._begun = True
                return bytes(message.data)
            if self._begun:
                raise error
            # As SessionExport.
            await self._sleep(self._attempts.delay_after(error))
            self._call = None

    async def save(self, path: Path | str, told: Callable[[int], object] = _say_nothing) -> int:
        """As SessionExport.save; the disk is waited for in a thread."""
        try:
            # Not made in a thread: if we were cancelled meanwhile, nobody would remove it.
            with PrivateFile(Path(path)) as file:
                async for piece in self:
                    told(await asyncio.to_thread(file.write, piece))
                return await asyncio.to_thread(file.keep)
        except BaseException:
            # The daemon sends to few at once, and would wait for us.
            self.cancel()
            raise

    def cancel(self) -> None:
        """Take no more of it. For the event loop's own thread."""
        self._cancelled.set()
        if self._call is not None:
            self._call.cancel()

    async def _wait_cancelled(self, limit_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_seconds):
                await self._cancelled.wait()
