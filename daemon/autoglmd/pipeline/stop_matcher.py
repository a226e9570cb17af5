"""Finds stop strings in streamed text, also where one is spread over several tokens."""


class StopMatcher:
    """Holds back text that may be the beginning of a stop string; everything else passes at once."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""

    @property
    def holds(self) -> bool:
        """Whether text is held back."""
        return bool(self._held)

    def push(self, text: str) -> tuple[str, str]:
        """Take text. Returns what is safe to show, and the stop string that ends it (empty for none)."""
        text = self._held + text
        # The one that is complete first, so that it does not matter how the text was cut into tokens.
        found = [(text.index(stop) + len(stop), text.index(stop), stop) for stop in self._stops if stop in text]
        if found:
            self._held = ""
            _, start, stop = min(found)
            return text[:start], stop
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], ""

    def flush(self) -> str:
        """What was held back for a stop string that did not come."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
