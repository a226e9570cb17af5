"""The rules of a stream, whoever reads it: what its events mean, and how it goes on when something breaks."""

from collections.abc import Callable
from typing import Any

from openglm import _convert
from openglm._absence import Absence, is_broken, is_going
from openglm._answer_calls import AnswerCalls, StreamCall
from openglm._errors import (
    ConnectionLostError,
    DeadlineExceededError,
    ModelNotFoundError,
    OpenGLMError,
    SessionNotFoundError,
)
from openglm._models import Event, Finished, FinishReason, PrefillProgress, Started, Timings, Token
from openglm._received import Received, ToldOtherwiseError
from openglm._retry import Attempts, surely_not_run
from openglm._unreachable import connection_lost

_UNKNOWN_THERE = (SessionNotFoundError, ModelNotFoundError)
_WHOLE = (FinishReason.STOP, FinishReason.LENGTH, FinishReason.CANCELLED)


class StreamState:
    """How far one stream has come. Mutable: owned by that stream; does no I/O."""

    def __init__(self, calls: AnswerCalls, attempts: Attempts) -> None:
        self._calls = calls
        self._attempts = attempts
        self._absence = Absence(attempts)
        self._received = Received()
        self._call = calls.first()
        self._begun = False
        self._finished: Finished | None = None
        self._held: Finished | None = None
        self._last_word: OpenGLMError | None = None

    def open(self, start: Callable[[StreamCall, float | None], Any]) -> Any:
        """Make the next call by `start`, with the seconds that it may take."""
        return start(self._call, self._attempts.remaining())

    def read(self, message: Any) -> Event | None:
        """Take one message in. Returns what the caller has not seen yet.

        Raises:
            ConnectionLostError: it is of another answer than what came before.
        """
        self._begun = True
        self._absence.daemon_is_back()
        try:
            return self._taken_in(_convert.event(message))
        except ToldOtherwiseError as otherwise:
            why = f"The daemon has another answer now: {otherwise}."
            # Not `from`: that word was for here.
            self._last_word = self._absence.given_up(why, self._received.tokens, connection_lost(why))
        raise self._last_word

    def check_over(self) -> None:
        """Raises the stream's error again, if it has ended by one."""
        if self._last_word is not None:
            raise self._last_word

    def cut_short(self) -> ConnectionLostError | None:
        """The daemon has ended the stream without an error; what is wrong with that."""
        if self._finished is not None:
            return None
        return connection_lost("The daemon closed the stream before Finished came.")

    def settle(self, error: OpenGLMError) -> Finished | float | None:
        """What follows a call's failure: Finished; or the seconds after which to make the next; `None`: nothing.

        Raises:
            OpenGLMError: the stream's last word, if nothing has to come before it.
        """
        if self._finished is not None and self._finished.reason in _WHOLE and is_broken(error):
            return None
        try:
            return self._delay_after(error)
        except OpenGLMError as last:
            self._last_word = last
            end = self._end_before(last)
            if end is None:
                raise
        self._finished = end
        return end

    def _taken_in(self, event: Event | None) -> Event | None:
        match event:
            case Started():
                return self._received.begin(event)
            case Token():
                return self._new(event)
            case Finished():
                return self._end(event)
            case PrefillProgress() if self._received.tokens:
                # The daemon reads the prompt anew; the reader is in the middle of the answer.
                return None
        return event

    def _new(self, token: Token) -> Token | None:
        new = self._received.add(token)
        if new is not None:
            self._absence.end()
            self._held = None
        return new

    def _end(self, event: Finished) -> Finished | None:
        if event.reason is FinishReason.SHUTDOWN and self._attempts.policy.resumes:
            # If all goes well, it is not the end.
            self._held = event
            return None
        if event.reason in (FinishReason.STOP, FinishReason.LENGTH):
            self._received.check_told()
        self._finished = event
        return event

    def _delay_after(self, error: OpenGLMError) -> float:
        if self._finished is not None:
            raise error
        if not self._absence.lasts:
            if not self._is_loss(error):
                return self._delay_before_begin(error)
            self._absence.begin(error)
        elif not self._absence.passes(error):
            return self._ask_anew(error)
        self._next(self._calls.rest(self._received))
        return self._absence.delay_after(error, self._received.tokens)

    def _is_loss(self, error: OpenGLMError) -> bool:
        return self._attempts.policy.resumes and (is_broken(error) or (self._begun and is_going(error)))

    def _delay_before_begin(self, error: OpenGLMError) -> float:
        if self._begun or not surely_not_run(error):
            raise error
        return self._attempts.delay_after(error)

    def _ask_anew(self, error: OpenGLMError) -> float:
        """The answer cannot be taken up; if nothing of it has come, another one is as good."""
        anew = self._calls.anew(self._received) if isinstance(error, _UNKNOWN_THERE) else None
        if anew is not None and self._call.resumes:
            self._next(anew)
            return 0.0
        if not (self._call.resumes or self._received.tokens):
            raise error
        raise self._absence.given_up(f"The rest cannot be had: {error.message}", self._received.tokens, error)

    def _next(self, call: StreamCall) -> None:
        self._call = call
        if call.repeats:
            self._received.repeat()
        else:
            self._received.go_on()

    def _end_before(self, error: OpenGLMError) -> Finished | None:
        """The Finished that has to come before an error, where the daemon's own has not been handed out.

        gRPC cuts a call off on this side at the moment when the daemon says Finished on its own. The counts are of
        what came; the times, which the daemon measures, are zero.
        """
        if self._received.started is None or self._finished is not None:
            return None
        if isinstance(error, DeadlineExceededError):
            return Finished(FinishReason.DEADLINE, self._received.usage(), Timings())
        return self._held
