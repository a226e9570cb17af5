"""What the edge asks of the rooms below: `pipeline/gateway.py` and `session_desk.py`. The edge's tests have fakes."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from autoglmd.messages.generation import (
    ChatPrompt,
    GenerationRequest,
    Message,
    ResumptionRequest,
    StreamEvent,
    TextPrompt,
    Tokens,
)
from autoglmd.messages.sessions import Place, SessionInfo, SessionKey
from autoglmd.messages.status import DaemonStatus, ModelInfo
from autoglmd.sessions.conversation import TurnMark


class GatewayPort(Protocol):
    """The daemon, as seen from the wire. All calls are made on the event loop."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        """Stream one answer: Started first, exactly one Finished last.

        Closing the generator (a client that went away) cancels the request.

        Raises (before the first event only): PromptTooLongError, ModelNotFoundError, ModelNotReadyError,
            ModelFailedError, RequestIdInUseError, QueueFullError, DrainingError, InvalidArgumentError; with a session
            SessionBusyError, UnavailableError and SessionError.
        """
        ...

    def resume(self, asked: ResumptionRequest) -> AsyncGenerator[StreamEvent, None]:
        """Stream the rest of a session's last answer: as `generate`, without the tokens that its reader has.

        Calls that still stream this answer end with CANCELLED.

        Raises (before the first event only): AnswerNotFoundError, AnswerGoneError, and what `generate` does.
        """
        ...

    def cancel(self, request_id: str, tenant: str | None) -> bool:
        """Mark a tenant's running request as cancelled. False: it has none of that id."""
        ...

    async def tokenize(self, model: str, prompt: TextPrompt | ChatPrompt) -> Tokens:
        """Token ids of a prompt, as Generate would compute them."""
        ...

    def models(self) -> tuple[ModelInfo, ...]:
        """Every configured model."""
        ...

    def model(self, name: str) -> ModelInfo:
        """One model; empty for the default. Raises ModelNotFoundError."""
        ...

    def status(self) -> DaemonStatus:
        """The daemon's state and counters."""
        ...


class SessionsPort(Protocol):
    """Conversations, as seen from the wire. All calls are made on the event loop.

    Where a disk does not do what is asked, or not in time, each raises SessionError or UnavailableError.
    """

    async def all(self, tenant: str) -> tuple[SessionInfo, ...]:
        """A tenant's sessions, the last used first."""
        ...

    async def one(self, key: SessionKey) -> tuple[SessionInfo, tuple[Message, ...], tuple[TurnMark, ...]]:
        """A session, what was said, and where turns lie, once no answer is being given. Raises SessionNotFoundError."""
        ...

    async def delete(self, key: SessionKey) -> None:
        """Forget a session, once no answer is being given. Raises SessionNotFoundError."""
        ...

    async def fork(self, key: SessionKey, new_session_id: str, place: Place | None) -> SessionInfo:
        """Begin another session with a session's beginning, or all of it.

        Raises SessionNotFoundError, SessionExistsError, InvalidArgumentError: nothing can end at that place.
        """
        ...

    async def rewind(self, key: SessionKey, place: Place | None) -> SessionInfo:
        """Take back what lies behind a place, or the last turn. Raises SessionNotFoundError, InvalidArgumentError."""
        ...

    def exported(self, key: SessionKey) -> AsyncGenerator[bytes, None]:
        """A session's file, in pieces of at most 1 MiB. Raises SessionNotFoundError, TransfersBusyError."""
        ...

    async def imported(self, key: SessionKey, pieces: AsyncIterator[bytes]) -> SessionInfo:
        """Begin a session with a file.

        Raises SessionExistsError, TransfersBusyError, SessionNewerError, InvalidArgumentError: it is not a whole one.
        """
        ...
