"""The answer that a stream's events add up to."""

from openglm._models import Completion, Event, Finished, Started, Token
from openglm._unreachable import connection_lost


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
