"""The asyncio client."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc

from openglm import _calls
from openglm._async_stream import AsyncCompletionStream
from openglm._calls import GenerateOptions, MessageLike, Prompt, UnaryCall
from openglm._cancellation import typed_cancellation
from openglm._channel import Tls
from openglm._connection import Connection
from openglm._endpoint import Endpoint
from openglm._errors import ModelNotReadyError
from openglm._events import StreamState
from openglm._models import Completion, DaemonStatus, ModelInfo, Session, SessionInfo, TokenizedText
from openglm._retry import Attempts, RetryPolicy

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
        return AsyncCompletionStream(
            lambda timeout: call.start(self._connection, timeout),
            StreamState(self._endpoint.attempts(call.timeout)),
            self._endpoint.error,
            self._sleep,
        )

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

    async def wait_until_ready(self, model: str = "", timeout: float | None = None) -> ModelInfo:  # noqa: ASYNC109
        """Wait while a model is being loaded or prepared. Arguments and errors are those of Client."""
        return await self._ask(_calls.ready_model(model), self._endpoint.patience(timeout))

    async def sessions(self) -> tuple[SessionInfo, ...]:
        """The caller's conversations, the last used first."""
        return await self._ask(_calls.sessions())

    async def session(self, session_id: str) -> Session:
        """A conversation and what was said. Raises SessionNotFoundError."""
        return await self._ask(_calls.session(session_id))

    async def delete_session(self, session_id: str) -> None:
        """Forget a conversation, once the answer that it is giving is over. Raises SessionNotFoundError."""
        await self._ask(_calls.delete_session(session_id))

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
            await (self._sleep or asyncio.sleep)(attempts.delay_after(error))
