"""The text of one answer: tokens in, whole and safe pieces of text out."""

from collections.abc import Sequence
from dataclasses import replace

from autoglmd.messages.generation import Logprob, TokenLogprobs, TokenText
from autoglmd.model.tokenizer import Tokenizer
from autoglmd.pipeline.detokenizer import Detokenizer
from autoglmd.pipeline.stop_matcher import StopMatcher


class AnswerText:
    """Detokenizes and looks for stop strings. Ids travel with the first text that is shown after them.

    While anything is held back, so is the last id. So each piece of text has ids of its own, and who counts the ids
    knows which pieces are missing.
    """

    def __init__(self, tokenizer: Tokenizer, stops: tuple[str, ...], before: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer, before)
        self._matcher = StopMatcher(stops)
        self._ready = ""
        self._ids: list[int] = []
        self._logprobs: list[TokenLogprobs] = []
        self._length = 0
        self.stop = ""
        self.ends: list[int] = []
        """Of each token, how many characters the tokens up to it say for sure: of one that ends inside a character,
        those of the token before. What was held back, or is of a stop string, counts."""

    @property
    def is_open(self) -> bool:
        """Whether the last token ended inside a character."""
        return self._detokenizer.is_open

    def push(self, token_id: int, logprobs: TokenLogprobs | None) -> TokenText | None:
        """Take a token. Returns what can be shown now, if anything; `stop` is set once a stop string appeared."""
        self._ids.append(token_id)
        if logprobs is not None:
            self._logprobs.append(self._with_text(logprobs))
        piece = self._detokenizer.push(token_id)
        self._length += len(piece)
        before = self.ends[-1] if self.ends else 0
        self.ends.append(before if self._detokenizer.is_open else self._length)
        text, self.stop = self._matcher.push(piece)
        self._ready += text
        if self.stop:
            return self._take(len(self._ids))
        holds = self._detokenizer.is_open or self._matcher.holds
        count = len(self._ids) - holds
        return self._take(count) if self._ready and count else None

    def flush(self) -> TokenText | None:
        """What was held back, at the end of the answer."""
        text, self.stop = self._matcher.push(self._detokenizer.flush())
        self._ready += text + ("" if self.stop else self._matcher.flush())
        return self._take(len(self._ids)) if self._ids else None

    def _take(self, count: int) -> TokenText:
        """All text that may be shown, with the first `count` of the ids."""
        taken = TokenText(self._ready, tuple(self._ids[:count]), tuple(self._logprobs[:count]))
        self._ready = ""
        del self._ids[:count], self._logprobs[:count]
        return taken

    def _with_text(self, logprobs: TokenLogprobs) -> TokenLogprobs:
        return TokenLogprobs(self._named(logprobs.chosen), tuple(self._named(each) for each in logprobs.top))

    def _named(self, logprob: Logprob) -> Logprob:
        return replace(logprob, text=self._tokenizer.piece(logprob.token_id))
