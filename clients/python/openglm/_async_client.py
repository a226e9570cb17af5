"""The asyncio client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import closing
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc

from openglm import _calls, _convert, _session_calls
from openglm._answer_calls import AnswerCalls
from openglm._async_stream import AsyncCompletionStream
from openglm._calls import GenerateOptions, MessageLike, Prompt, UnaryCall
from openglm._cancellation import typed_cancellation
from openglm._channel import Tls
from openglm._connection import Connection
from openglm._endpoint import Endpoint
from openglm._errors import ModelNotReadyError, RequestCancelledError
from openglm._fields import check_timeout
from openglm._models import Completion, DaemonStatus, ModelInfo, TokenizedText
from openglm._retry import Attempts, RetryPolicy, surely_not_run
from openglm._session_export import AsyncSessionExport
from openglm._session_import import FileSource, Upload
from openglm._session_models import Session, SessionInfo
from openglm._stream_state import StreamState
from openglm.v1 import sessions_pb2

T = TypeVar("T")


class AsyncClient:
    """A connection to one daemon, for one event loop: the one that makes the first call.

    Every call raises subclasses of OpenGLMError, and nothing else on purpose.
    """

    def __init__(
        self,
        address: str | Path | None = None,
        *,
        timeout: float | None = None,
        tls: Tls | None = None,
        retry: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[object]] | None = None,
    ) -> None:
        """Choose the daemon; nothing is sent yet. Arguments and errors are those of Client."""
        self._endpoint = Endpoint.choose(address, tls, timeout, retry)
        self._sleep = sleep

    @cached_property
    def _connection(self) -> Connection:
        # An asyncio channel belongs to the loop it is made on, which need not run yet where the client is made.
        return self._endpoint.connect(grpc.aio)

    @property
    def address(self) -> str:
        """The address in use, in gRPC's form."""
        return self._endpoint.address.target

    async def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Iterable[MessageLike] | None = None,
        token_ids: Iterable[int] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Completion:
        """Answer a prompt (continued as it stands), a chat, or token ids; exactly one of them."""
        return await self.stream(prompt, messages=messages, token_ids=token_ids, **options).completion()

    def stream(
        self,
        prompt: str | None = None,
        *,
        messages: Iterable[MessageLike] | None = None,
        token_ids: Iterable[int] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> AsyncCompletionStream:
        """Like `generate`, event by event. Best used as a context manager, which cancels what was not read."""
        call = _calls.generate(Prompt(prompt, messages, token_ids), options)
        return self._stream(call.answer(), call.timeout)

    def resume(
        self, session_id: str, after_token: int = 0, request_id: str | None = None, *, timeout: float | None = None
    ) -> AsyncCompletionStream:
        """A session's last answer once more, for who lost its first reader: those of its tokens behind `after_token`.

        Answers of this client's own go on by themselves.

        Args:
            session_id: the session.
            after_token: how many tokens are known already; they are not told again, but for those of a
                piece of text that goes on behind them, which comes whole.
            request_id: the answer's request, which ends another reader's stream of it (Finished with CANCELLED);
                without it, whichever was the session's last, once another reader of it is done.
            timeout: seconds for the whole call.

        Raises, while it is read:
            SessionNotFoundError: there is no such session.
            OpenGLMError: it has no such answer, or it can no longer be told as it was.
        """
        check_timeout(timeout)
        return self._stream(_calls.resume(session_id, after_token, request_id), timeout)

    async def chat(self, messages: Iterable[MessageLike], **options: Unpack[GenerateOptions]) -> Completion:
        """Answer a chat, rendered with the model's chat template."""
        return await self.generate(messages=messages, **options)

    async def tokenize(
        self, prompt: str | None = None, *, messages: Iterable[MessageLike] | None = None, model: str = ""
    ) -> TokenizedText:
        """Token ids of a text or a chat, as `generate` would compute them."""
        return await self._ask(_calls.tokenize(Prompt(prompt, messages), model))

    async def models(self) -> tuple[ModelInfo, ...]:
        """Every model that the daemon is configured with."""
        return await self._ask(_calls.models())

    async def model(self, name: str = "") -> ModelInfo:
        """One model; the default one without a name."""
        return await self._ask(_calls.model(name))

    # The timeout is Client's: the two have the same methods.
    async def wait_until_ready(self, model: str = "", timeout: float | None = None) -> ModelInfo:  # noqa: ASYNC109
        """Wait while a model is being loaded or prepared. Arguments and errors are those of Client."""
        return await self._ask(_calls.ready_model(model), self._endpoint.patience(timeout))

    async def sessions(self) -> tuple[SessionInfo, ...]:
        """The caller's conversations, the last used first."""
        return await self._ask(_session_calls.sessions())

    async def session(self, session_id: str) -> Session:
        """A conversation and what was said, once an answer that is being given in it is over.

        Raises SessionNotFoundError.
        """
        return await self._ask(_session_calls.session(session_id))

    async def delete_session(self, session_id: str) -> None:
        """Forget a conversation, once the answer that it is giving is over. Raises SessionNotFoundError."""
        await self._ask(_session_calls.delete_session(session_id))

    async def fork_session(
        self, session_id: str, new_session_id: str, *, at_token: int | None = None, at_turn: int | None = None
    ) -> SessionInfo:
        """Begin another session with what this one says. Arguments and errors are those of Client."""
        return await self._ask(_session_calls.fork_session(session_id, new_session_id, at_token, at_turn))

    async def rewind_session(
        self, session_id: str, *, at_token: int | None = None, at_turn: int | None = None
    ) -> SessionInfo:
        """Take back what a session says behind a place. Arguments and errors are those of Client."""
        return await self._ask(_session_calls.rewind_session(session_id, at_token, at_turn))

    def export_session(self, session_id: str) -> AsyncSessionExport:
        """A session as one file, not encrypted: an async iterator of its bytes, with `save(path)`.

        It waits for an answer that is being given in the session.
        """
        call = _session_calls.export_session(session_id)
        return AsyncSessionExport(
            lambda timeout: call.start(self._connection, timeout),
            self._endpoint.attempts(),
            self._endpoint.error,
            self._sleep,
        )

    async def import_session(self, session_id: str, source: FileSource) -> SessionInfo:
        """Begin a session with an exported one. Arguments and errors are those of Client."""
        with closing(await asyncio.to_thread(Upload, session_id, source)) as upload:
            running = self._connection.start("ImportSession", _in_a_thread(upload), self._endpoint.timeout)
            try:
                with typed_cancellation(running):
                    return _convert.changed_session(await running)
            except grpc.RpcError as failure:
                error: Exception = upload.failure or self._endpoint.error(failure)
            except RequestCancelledError as cancelled:
                error = upload.failure or cancelled
        raise error

    async def status(self) -> DaemonStatus:
        """The daemon's state and counters."""
        return await self._ask(_calls.status())

    async def cancel(self, request_id: str) -> bool:
        """End a running request of this user. False: there was none of that id."""
        return await self._ask(_calls.cancel(request_id))

    async def close(self) -> None:
        """Close the connection; running calls end with RequestCancelledError."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _stream(self, calls: AnswerCalls, timeout: float | None) -> AsyncCompletionStream:
        return AsyncCompletionStream(
            lambda call, seconds: call.start(self._connection, seconds),
            StreamState(calls, self._endpoint.attempts(timeout)),
            self._endpoint.error,
            self._sleep,
        )

    async def _ask(self, call: UnaryCall[T], attempts: Attempts | None = None) -> T:
        attempts = attempts or self._endpoint.attempts()
        while True:
            running = call.start(self._connection, attempts.remaining())
            try:
                with typed_cancellation(running):
                    return call.read(await running)
            except grpc.RpcError as failure:
                error = self._endpoint.error(failure)
            except ModelNotReadyError as unready:
                error = unready
            if call.changes and not surely_not_run(error):
                raise error
            await (self._sleep or asyncio.sleep)(attempts.delay_after(error))


async def _in_a_thread(upload: Upload) -> AsyncIterator[sessions_pb2.ImportSessionRequest]:
    """What reading it waits for, the event loop does not."""
    while (message := await asyncio.to_thread(next, upload, None)) is not None:
        yield message
