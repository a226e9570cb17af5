"""The blocking client."""

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc

from openglm import _calls, _convert, _session_calls
from openglm._answer_calls import AnswerCalls
from openglm._calls import GenerateOptions, MessageLike, Prompt, UnaryCall
from openglm._channel import Tls
from openglm._endpoint import Endpoint
from openglm._errors import ModelNotReadyError
from openglm._fields import check_timeout
from openglm._models import Completion, DaemonStatus, ModelInfo, TokenizedText
from openglm._retry import Attempts, RetryPolicy, surely_not_run
from openglm._session_export import SessionExport
from openglm._session_import import FileSource, Upload
from openglm._session_models import Session, SessionInfo
from openglm._stream import CompletionStream
from openglm._stream_state import StreamState

T = TypeVar("T")


class Client:
    """A connection to one daemon. Safe to share between threads; connects at the first call.

    Every call raises subclasses of OpenGLMError, and nothing else on purpose.
    """

    def __init__(
        self,
        address: str | Path | None = None,
        *,
        timeout: float | None = None,
        tls: Tls | None = None,
        retry: RetryPolicy | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """Choose the daemon; nothing is sent yet.

        Args:
            address: "/path", "unix:/path" or "host:port"; without it $AUTOGLMD_SOCKET, $AUTOGLMD_ADDRESS, the
                system's socket or the user's, whichever is there first.
            timeout: seconds for a whole call, retries included, where the call gives none; `None` for no limit.
            tls: needed for another machine, refused for a Unix socket.
            retry: how often a refused call is tried again, and how long a broken answer is taken up.
            sleep: waits between tries, in place of a wait that `cancel` ends; for tests.

        Raises:
            InvalidArgumentError: the address, the TLS files or the timeout cannot be used.
        """
        self._endpoint = Endpoint.choose(address, tls, timeout, retry)
        self._sleep = sleep
        self._connection = self._endpoint.connect(grpc)

    @property
    def address(self) -> str:
        """The address in use, in gRPC's form."""
        return self._endpoint.address.target

    def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Iterable[MessageLike] | None = None,
        token_ids: Iterable[int] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Completion:
        """Answer a prompt (continued as it stands), a chat, or token ids; exactly one of them."""
        return self.stream(prompt, messages=messages, token_ids=token_ids, **options).completion()

    def stream(
        self,
        prompt: str | None = None,
        *,
        messages: Iterable[MessageLike] | None = None,
        token_ids: Iterable[int] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> CompletionStream:
        """Like `generate`, event by event. Best used as a context manager, which cancels what was not read."""
        call = _calls.generate(Prompt(prompt, messages, token_ids), options)
        return self._stream(call.answer(), call.timeout)

    def resume(
        self, session_id: str, after_token: int = 0, request_id: str | None = None, *, timeout: float | None = None
    ) -> CompletionStream:
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

    def chat(self, messages: Iterable[MessageLike], **options: Unpack[GenerateOptions]) -> Completion:
        """Answer a chat, rendered with the model's chat template."""
        return self.generate(messages=messages, **options)

    def tokenize(
        self, prompt: str | None = None, *, messages: Iterable[MessageLike] | None = None, model: str = ""
    ) -> TokenizedText:
        """Token ids of a text or a chat, as `generate` would compute them."""
        return self._ask(_calls.tokenize(Prompt(prompt, messages), model))

    def models(self) -> tuple[ModelInfo, ...]:
        """Every model that the daemon is configured with."""
        return self._ask(_calls.models())

    def model(self, name: str = "") -> ModelInfo:
        """One model; the default one without a name."""
        return self._ask(_calls.model(name))

    def wait_until_ready(self, model: str = "", timeout: float | None = None) -> ModelInfo:
        """Wait while a model is being loaded or prepared; the default one without a name.

        Args:
            model: its name.
            timeout: seconds to wait; `None`: as long as the retry policy and the client's timeout let a request wait.

        Raises:
            ModelNotReadyError, DeadlineExceededError: it was not ready in time.
            ModelFailedError: it could not be loaded.
            ModelNotFoundError: there is none of that name, or it is not on the daemon's box.
        """
        return self._ask(_calls.ready_model(model), self._endpoint.patience(timeout))

    def sessions(self) -> tuple[SessionInfo, ...]:
        """The caller's conversations, the last used first."""
        return self._ask(_session_calls.sessions())

    def session(self, session_id: str) -> Session:
        """A conversation and what was said, once an answer that is being given in it is over.

        Raises SessionNotFoundError.
        """
        return self._ask(_session_calls.session(session_id))

    def delete_session(self, session_id: str) -> None:
        """Forget a conversation, once the answer that it is giving is over. Raises SessionNotFoundError."""
        self._ask(_session_calls.delete_session(session_id))

    def fork_session(
        self, session_id: str, new_session_id: str, *, at_token: int | None = None, at_turn: int | None = None
    ) -> SessionInfo:
        """Begin another session with what this one says: all of it, its first tokens, or its first turns.

        It waits for an answer that is being given in the session.

        Raises:
            SessionNotFoundError: there is no such session.
            SessionExistsError: there is one of the new name.
            InvalidArgumentError: it cannot be cut there; `session` tells of its turns.
        """
        return self._ask(_session_calls.fork_session(session_id, new_session_id, at_token, at_turn))

    def rewind_session(
        self, session_id: str, *, at_token: int | None = None, at_turn: int | None = None
    ) -> SessionInfo:
        """Take back what a session says behind so many tokens or turns; its last turn, without either.

        It waits for an answer that is being given in the session.

        Raises:
            SessionNotFoundError: there is no such session.
            InvalidArgumentError: it cannot be cut there; `session` tells of its turns.
        """
        return self._ask(_session_calls.rewind_session(session_id, at_token, at_turn))

    def export_session(self, session_id: str) -> SessionExport:
        """A session as one file, not encrypted: an iterator of its bytes, with `save(path)`.

        It waits for an answer that is being given in the session.
        """
        call = _session_calls.export_session(session_id)
        return SessionExport(
            lambda timeout: call.start(self._connection, timeout),
            self._endpoint.attempts(),
            self._endpoint.error,
            self._sleep,
        )

    def import_session(self, session_id: str, source: FileSource) -> SessionInfo:
        """Begin a session with an exported one. Not tried again.

        Args:
            session_id: what to call it.
            source: the file's path; or what has `read`; or pieces of bytes.

        Raises:
            SessionExistsError: there is one of that name.
            InvalidArgumentError: the file is not whole, or no session's.
            OSError: it cannot be read.
        """
        with closing(Upload(session_id, source)) as upload:
            try:
                answer = self._connection.start("ImportSession", upload, self._endpoint.timeout)
            except grpc.RpcError as failure:
                error: Exception = upload.failure or self._endpoint.error(failure)
            else:
                return _convert.changed_session(answer)
        raise error

    def status(self) -> DaemonStatus:
        """The daemon's state and counters."""
        return self._ask(_calls.status())

    def cancel(self, request_id: str) -> bool:
        """End a running request of this user. False: there was none of that id."""
        return self._ask(_calls.cancel(request_id))

    def close(self) -> None:
        """Close the connection; running calls end with RequestCancelledError."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stream(self, calls: AnswerCalls, timeout: float | None) -> CompletionStream:
        return CompletionStream(
            lambda call, seconds: call.start(self._connection, seconds),
            StreamState(calls, self._endpoint.attempts(timeout)),
            self._endpoint.error,
            self._sleep,
        )

    def _ask(self, call: UnaryCall[T], attempts: Attempts | None = None) -> T:
        attempts = attempts or self._endpoint.attempts()
        while True:
            try:
                return call.read(call.start(self._connection, attempts.remaining()))
            except grpc.RpcError as failure:
                error = self._endpoint.error(failure)
            except ModelNotReadyError as unready:
                error = unready
            if call.changes and not surely_not_run(error):
                raise error
            (self._sleep or time.sleep)(attempts.delay_after(error))
