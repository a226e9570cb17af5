"""How an answer is asked for, and how the rest of one whose connection has broken. No I/O."""

from dataclasses import dataclass
from typing import Any, Protocol

from openglm._connection import Connection
from openglm._received import Received
from openglm.v1 import inference_pb2

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class StreamCall:
    """One call whose answer is a stream, ready to be sent any number of times.

    One that `repeats` tells once more what came of the stream, and is compared with it; else it goes on behind that.
    """

    method: str
    request: Any
    metadata: Metadata = ()
    repeats: bool = False

    def start(self, connection: Connection, timeout: float | None) -> Any:
        """Make the call, of the connection's kind; `timeout` in seconds."""
        return connection.start(self.method, self.request, timeout, self.metadata)

    @property
    def resumes(self) -> bool:
        """Whether it takes up an answer that the daemon knows; else it begins one."""
        return self.method == "Resume"


class AnswerCalls(Protocol):
    """The calls that one answer may take."""

    def first(self) -> StreamCall:
        """The one to begin with."""
        ...

    def rest(self, received: Received) -> StreamCall:
        """The one to make when the connection has broken."""
        ...

    def anew(self, received: Received) -> StreamCall | None:
        """The one to make where the daemon knows of no such answer; `None` if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class AnswerAlone:
    """An answer outside of sessions: the same seed, prompt and settings give it once more."""

    request: inference_pb2.GenerateRequest
    metadata: Metadata

    def first(self) -> StreamCall:
        """What the caller asked."""
        return StreamCall("Generate", self.request, self.metadata)

    def rest(self, received: Received) -> StreamCall:
        """The same, with the seed that was in use."""
        return StreamCall("Generate", _seeded(self.request, received), self.metadata, repeats=True)

    def anew(self, received: Received) -> None:  # noqa: ARG002 - the protocol's
        """It is anew each time."""
        return


@dataclass(frozen=True, slots=True)
class AnswerInSession:
    """An answer in a session, which the daemon keeps: it is asked for what is missing."""

    request: inference_pb2.GenerateRequest
    metadata: Metadata

    def first(self) -> StreamCall:
        """What the caller asked."""
        return StreamCall("Generate", self.request, self.metadata)

    def rest(self, received: Received) -> StreamCall:
        """What is behind that which came. If nothing did, the request may nevertheless have been taken."""
        wanted = inference_pb2.ResumeRequest(
            session_id=self.request.session_id, after_token=received.tokens, request_id=self.request.request_id
        )
        return StreamCall("Resume", wanted, self.metadata)

    def anew(self, received: Received) -> StreamCall | None:
        """The request was never taken, or is forgotten. Once tokens have come, another answer is of no use."""
        if received.tokens:
            return None
        return StreamCall("Generate", _seeded(self.request, received), self.metadata, repeats=True)


@dataclass(frozen=True, slots=True)
class AnswerOfBefore:
    """A session's last answer, which somebody else began to read."""

    request: inference_pb2.ResumeRequest

    def first(self) -> StreamCall:
        """What the caller asked."""
        return StreamCall("Resume", self.request)

    def rest(self, received: Received) -> StreamCall:
        """The same once more. Of the same answer, should there be another by now.

        Not what is behind that which came: the first piece may have begun before the place that was asked for, so
        the tokens that came do not tell how far the answer is.
        """
        wanted = inference_pb2.ResumeRequest()
        wanted.CopyFrom(self.request)
        if received.started is not None:
            wanted.request_id = received.started.request_id
        return StreamCall("Resume", wanted, repeats=True)

    def anew(self, received: Received) -> None:  # noqa: ARG002 - the protocol's
        """Nobody here knows what was asked."""
        return


def _seeded(request: inference_pb2.GenerateRequest, received: Received) -> inference_pb2.GenerateRequest:
    if received.started is None:
        return request
    same = inference_pb2.GenerateRequest()
    same.CopyFrom(request)
    same.sampling.seed = received.started.seed
    return same
