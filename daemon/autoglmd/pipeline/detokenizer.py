"""Turns a growing list of ids into pieces of text, whole characters only."""

from autoglmd.model.tokenizer import Tokenizer

_REPLACEMENT = "\ufffd"
# A UTF-8 character has at most four bytes, so four byte tokens; after a few more the bytes are broken, not short.
_MAX_HELD = 8


class Detokenizer:
    """Incremental detokenizing of one answer.

    A token's text depends on its neighbours (leading spaces, characters split over byte tokens), so each piece is the
    difference of two decodings of a short window: with and without the new tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._window = 0
        self._read = 0

    def push(self, token_id: int) -> str:
        """Take a token. Returns the text that became whole; empty while it ends inside a character."""
        self._ids.append(token_id)
        before, after = self._decode_window()
        held = len(self._ids) - self._read
        if after.endswith(_REPLACEMENT) and held < _MAX_HELD:
            return ""
        return self._release(before, after)

    def flush(self) -> str:
        """What is still held, at the end of the answer."""
        return self._release(*self._decode_window()) if self._read < len(self._ids) else ""

    def _decode_window(self) -> tuple[str, str]:
        before = self._tokenizer.decode(self._ids[self._window : self._read])
        return before, self._tokenizer.decode(self._ids[self._window :])

    def _release(self, before: str, after: str) -> str:
        self._window, self._read = self._read, len(self._ids)
        return after[len(before) :]
