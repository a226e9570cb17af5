"""Turns a growing list of ids into pieces of text, whole characters only."""

from collections.abc import Sequence

from autoglmd.model.tokenizer import Tokenizer

_REPLACEMENT = "\ufffd"
# A UTF-8 character has at most four bytes, so at most three of them show as broken while the last is missing.
_MAX_OPEN = 3
# After so many tokens without a whole character the bytes are broken, not short. Twice what one character takes,
# because some tokenizers show every byte as broken until all of them are whole.
_MAX_HELD = 8
# A window that does not move on, because all of it is broken or special, is cut so that no token costs more for it.
_MAX_WINDOW = 64


class Detokenizer:
    """Incremental detokenizing of one answer.

    A token's text depends on its neighbours (leading spaces, characters split over byte tokens), so each piece is what
    one more token adds to the text of a short window. The window moves on wherever a character ends with a token.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int] = ()) -> None:
        """Begin an answer.

        Args:
            tokenizer: the model's.
            before: the last ids of a prompt that the answer continues. Without them the answer's first token is the
                first of a text, and loses its leading space.
        """
        self._tokenizer = tokenizer
        self._window: list[int] = list(before)
        self._whole = len(self._window)  # tokens of the window up to the last one that ended a character
        text = tokenizer.decode(self._window)
        self._shown = len(text.rstrip(_REPLACEMENT))  # characters of the window's text that were released
        self.is_open = False
        """Whether the last token ended inside a character."""

    def push(self, token_id: int) -> str:
        """Take a token. Returns the text that became whole; empty while it ends inside a character."""
        self._window.append(token_id)
        text = self._tokenizer.decode(self._window)
        open_end = self._open_end(text)
        piece = text[self._shown : len(text) - open_end]
        self._shown += len(piece)
        self.is_open = open_end > 0
        if piece and not open_end:
            self._move_on()
        elif len(self._window) > _MAX_WINDOW:
            self._cut(open_end)
        return piece

    def flush(self) -> str:
        """What is still held, at the end of the answer."""
        piece = self._tokenizer.decode(self._window)[self._shown :]
        self._shown += len(piece)
        return piece

    def _open_end(self, text: str) -> int:
        """How many characters at the end may still become others."""
        broken = len(text) - len(text.rstrip(_REPLACEMENT))
        held = len(self._window) - self._whole
        return broken if held < _MAX_HELD else min(broken, _MAX_OPEN)

    def _move_on(self) -> None:
        rest = self._window[self._whole :]
        shown = len(self._tokenizer.decode(rest))
        # A window must not begin with white space or special tokens only: their text would be missing.
        if shown:
            self._window, self._shown = rest, shown
        self._whole = len(self._window)

    def _cut(self, open_end: int) -> None:
        self._window = self._window[-_MAX_WINDOW // 2 :]
        self._whole = 0
        self._shown = max(0, len(self._tokenizer.decode(self._window)) - open_end)
