"""What has come of an answer, over all the calls that it took."""

from openglm._models import Started, Token, Usage


class ToldOtherwiseError(Exception):
    """What is told now cannot be the rest of what came before; the text says why."""


class Received:
    """Counts an answer's tokens, and sees to it that they are all of one answer. Mutable: owned by one stream.

    Attributes:
        started: the first event, once it has come.
        ids: of all tokens that were handed out.
    """

    def __init__(self) -> None:
        self.started: Started | None = None
        self.ids: list[int] = []
        self._texts: list[str] = []
        self._known_ids: list[int] = []
        self._known_text = ""

    @property
    def tokens(self) -> int:
        """How many have been handed out."""
        return len(self.ids)

    def repeat(self) -> None:
        """From now on it is told once more, as from the first call on."""
        self._known_ids, self._known_text = list(self.ids), "".join(self._texts)

    def go_on(self) -> None:
        """From now on it is told from where it broke off."""
        self._known_ids, self._known_text = [], ""

    def begin(self, started: Started) -> Started | None:
        """Take Started in; `None` if there was one. Raises ToldOtherwiseError if that was another answer's."""
        if self.started is None:
            self.started = started
            return started
        for name in ("model", "model_version", "prompt_tokens", "seed"):
            before, now = getattr(self.started, name), getattr(started, name)
            if before != now:
                raise ToldOtherwiseError(f"its {name} was {before!r}, and now is {now!r}")
        return None

    def add(self, token: Token) -> Token | None:
        """Take a token in. Returns what is new of it. Raises ToldOtherwiseError if it is not what came before."""
        new = self._new(token)
        if not (new.text or new.ids):
            return None
        self.ids += new.ids
        self._texts.append(new.text)
        return new

    def check_told(self) -> None:
        """The answer has come to its end. Raises ToldOtherwiseError if that is before what came before."""
        if self._known_ids or self._known_text:
            raise ToldOtherwiseError("it ends sooner now")

    def usage(self) -> Usage:
        """The counts of what came."""
        started = self.started or Started()
        return Usage(started.prompt_tokens, started.cached_tokens, self.tokens)

    def _new(self, token: Token) -> Token:
        ids, text = min(len(token.ids), len(self._known_ids)), min(len(token.text), len(self._known_text))
        if list(token.ids[:ids]) != self._known_ids[:ids] or token.text[:text] != self._known_text[:text]:
            raise ToldOtherwiseError("it goes otherwise now")
        self._known_ids, self._known_text = self._known_ids[ids:], self._known_text[text:]
        return Token(token.text[text:], token.ids[ids:], token.logprobs[ids:])
