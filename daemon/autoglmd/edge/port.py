"""What the edge asks of the rooms below: `pipeline/gateway.py` and `session_desk.py`. The edge's tests have fakes."""

from collections.abc import AsyncGenerator
from typing import Protocol

from autoglmd.messages import (
    ChatPrompt,
    DaemonStatus,
    GenerationRequest,
    Message,
    ModelInfo,
    SessionInfo,
    SessionKey,
    StreamEvent,
    TextPrompt,
    Tokens,
)


class GatewayPort(Protocol):
    """The daemon, as seen from the wire. All calls are made on the event loop."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        """Stream one answer: Started first, exactly one Finished last.

        Closing the generator (a client that went away) cancels the request.

        Raises (before the first event only): PromptTooLongError, ModelNotFoundError, ModelNotReadyError,
            ModelFailedError, RequestIdInUseError, QueueFullError, DrainingError, InvalidArgumentError.
        """
        ...

    def cancel(self, request_id: str) -> bool:
        """Mark a running request as cancelled. False: there is none of that id."""
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
    """Conversations, as seen from the wire. All calls are made on the event loop."""

    async def all(self, tenant: str) -> tuple[SessionInfo, ...]:
        """A tenant's sessions, the last used first."""
        ...

    async def one(self, key: SessionKey) -> tuple[SessionInfo, tuple[Message, ...]]:
        """A session and what was said, once no answer is being given. Raises SessionNotFoundError."""
        ...

    async def delete(self, key: SessionKey) -> None:
        """Forget a session, once no answer is being given. Raises SessionNotFoundError."""
        ...
