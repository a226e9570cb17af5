"""Stop strings in text that comes in pieces, against a search in the whole text."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autoglmd.pipeline.stop_matcher import StopMatcher


def streamed(pieces: list[str], stops: tuple[str, ...]) -> tuple[str, str]:
    """What is shown in all, and the stop string that ended it."""
    matcher = StopMatcher(stops)
    shown = ""
    for piece in pieces:
        text, stop = matcher.push(piece)
        shown += text
        if stop:
            return shown, stop
    return shown + matcher.flush(), ""


def searched(text: str, stops: tuple[str, ...]) -> tuple[str, str]:
    """By definition: the stop string that is complete first; of several, the one that began first."""
    ends = [
        (start + len(stop), start, stop) for stop in stops for start in range(len(text)) if text.startswith(stop, start)
    ]
    if not ends:
        return text, ""
    _, start, stop = min(ends)
    return text[:start], stop


letters = st.text("ab", max_size=12)


@settings(max_examples=500)
@given(st.lists(letters, max_size=8), st.lists(st.text("ab", min_size=1, max_size=5), max_size=4))
@example(["abc"], ["abc", "b"])
@example(["a", "b", "c"], ["abc", "b"])
@example(["aab", "aaab"], ["aaab"])
def test_streaming_finds_what_a_search_of_the_whole_text_finds(pieces: list[str], stops: list[str]) -> None:
    """The same text is shown and the same stop found, wherever the borders between the pieces are."""
    assert streamed(pieces, tuple(stops)) == searched("".join(pieces), tuple(stops))


def test_a_stop_string_across_borders_is_never_shown() -> None:
    """Text that may be the beginning of a stop string waits."""
    matcher = StopMatcher(("</end>",))
    assert matcher.push("hello <") == ("hello ", "")
    assert matcher.push("/en") == ("", "")
    assert matcher.push("d> more") == ("", "</end>")


def test_text_that_only_looked_like_a_stop_string_comes_out() -> None:
    """As soon as it cannot be one any more, all of it is shown."""
    matcher = StopMatcher(("你好吗",))
    assert matcher.push("我说你好") == ("我说", "")
    assert matcher.push("!") == ("你好!", "")


def test_without_stop_strings_everything_passes_at_once() -> None:
    """Nothing is held for nothing."""
    assert StopMatcher(()).push("text") == ("text", "")


@pytest.mark.parametrize("pieces", [["xabcd"], ["xab", "cd"], ["x", "a", "b", "c", "d"]])
def test_of_overlapping_stops_the_first_to_be_complete_wins(pieces: list[str]) -> None:
    """Which stop ends the text does not depend on how the text was cut."""
    assert streamed(pieces, ("abcd", "bc")) == ("xa", "bc")
