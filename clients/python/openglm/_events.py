"""What a stream's events mean, whoever reads them: the rules of the stream, and the answer that they add up to."""

from openglm import _convert
from openglm._errors import (
    DaemonNotRunningError,
    DeadlineExceededError,
    OpenGLMError,
)
from openglm._models import Completion, Event, Finished, FinishReason, Started, Timings, Token, Usage
from openglm._retry import Attempts
from openglm._unreachable import connection_lost
from openglm.v1 import inference_pb2


class StreamState:
    """How far one stream has come. Mutable: owned by that stream; does no I/O."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._begun = False
        self._started: Started | None = None
        self._output_tokens = 0
        self._finished = False

    def remaining(self) -> float | None:
        """Seconds that the next try may take."""
        return self._attempts.remaining()

    def read(self, message: inference_pb2.GenerateResponse) -> Event | None:
        """Take one message in. From now on nothing is tried again."""
        self._begun = True
        event = _convert.event(message)
        match event:
            case Started():
                self._started = event
            case Token():
                self._output_tokens += len(event.ids)
            case Finished():
                self._finished = True
        return event

    def cut_off(self, error: OpenGLMError) -> Finished | None:
        """The end of a stream that its deadline ended, where the daemon's own came too late; else `None`.

        gRPC cuts a call off on this side, at the moment when the daemon says Finished on its own. The counts are of
        what came; the times, which the daemon measures, are zero.
        """
        if self._started is None or self._finished or not isinstance(error, DeadlineExceededError):
            return None
        self._finished = True
        usage = Usage(self._started.prompt_tokens, self._started.cached_tokens, self._output_tokens)
        return Finished(FinishReason.DEADLINE, usage, Timings())

    def delay_after(self, error: OpenGLMError) -> float:
        """Seconds to wait before the call is made again; raises `error` where it must not be."""
        if self._begun or not _surely_not_run(error):
            raise error
        return self._attempts.delay_after(error)

    def check_end(self) -> None:
        """The stream has ended without an error. Raises ConnectionLostError if Finished never came."""
        if not self._finished:
            raise connection_lost("The daemon closed the stream before Finished came.")


def _surely_not_run(error: OpenGLMError) -> bool:
    """Whether the daemon said no in its own words, or was never reached.

    Where a connection broke, the prompt may be running: a second one would cost twice, and meet its own request id.
    """
    said_no = bool(error.details.code) or error.retry_after is not None
    return said_no or isinstance(error, DaemonNotRunningError)


class CompletionBuilder:
    """Adds up the events of one stream. Mutable: owned by whoever collects."""

    def __init__(self) -> None:
        self._started = Started()
        self._tokens: list[Token] = []
        self._finished: Finished | None = None

    def add(self, event: Event) -> None:
        """Take the next event in."""
        match event:
            case Started():
                self._started = event
            case Token():
                self._tokens.append(event)
            case Finished():
                self._finished = event

    @property
    def text(self) -> str:
        """The text that came so far."""
        return "".join(token.text for token in self._tokens)

    def build(self) -> Completion:
        """The whole answer. Raises ConnectionLostError if the end is missing."""
        if self._finished is None:
            raise connection_lost("The stream was closed before the answer was whole.")
        return Completion(
            text=self.text,
            ids=tuple(id_ for token in self._tokens for id_ in token.ids),
            logprobs=tuple(entry for token in self._tokens for entry in token.logprobs),
            started=self._started,
            finished=self._finished,
        )
