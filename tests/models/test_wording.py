"""Numbers, values and durations are worded as people say them."""

from random import Random

import pytest

from models.glm_small import wording
from models.glm_small.command import Command, render
from models.glm_small.grammar_file import Language, attributes, expand, expand_all
from models.glm_small.numerals import chinese, chinese_count, english


@pytest.mark.parametrize(
    ("number", "spoken"),
    [(0, "零"), (10, "十"), (26, "二十六"), (100, "一百"), (105, "一百零五"), (110, "一百一十"), (215, "二百一十五")],
)
def test_chinese_numbers_are_spelled_as_spoken(number: int, spoken: str) -> None:
    """Tens lose their one, gaps get a zero."""
    assert chinese(number) == spoken


def test_two_things_are_counted_with_liang() -> None:
    """Before a measure word, two is 两."""
    assert (chinese_count(2), chinese_count(12)) == ("两", "十二")


@pytest.mark.parametrize(
    ("number", "spoken"), [(7, "seven"), (13, "thirteen"), (26, "twenty six"), (40, "forty"), (105, "one hundred five")]
)
def test_english_numbers_are_spelled_as_spoken(number: int, spoken: str) -> None:
    """No hyphens: a speech recognizer writes none."""
    assert english(number) == spoken


@pytest.mark.parametrize(
    ("language", "key", "value", "expected"),
    [
        ("zh", "brightness", 50, "一半"),
        ("zh", "brightness", 30, "三成"),
        ("zh", "brightness", 100, "最亮"),
        ("zh", "temperature", 26, "二十六度"),
        ("zh", "volume", 20, "二十"),
        ("zh", "channel", 5, "第5频道"),
        ("zh", "level", 3, "三档"),
        ("en", "brightness", 50, "half"),
        ("en", "position", 100, "full"),
        ("en", "temperature", 26, "26 degrees"),
        ("en", "channel", 5, "channel five"),
        ("en", "level", 3, "level three"),
        ("en", "volume", 20, "twenty"),
        ("en", "color", "blue", "blue"),
    ],
)
def test_a_value_can_be_worded_so(language: Language, key: str, value: int | str, expected: str) -> None:
    """Among the ways to say a value is the one that comes to mind first."""
    rng = _rng()
    said = {wording.value_text(rng, language, attributes()[key], value) for _ in range(100)}
    assert expected in said


@pytest.mark.parametrize(
    ("language", "minutes", "expected"),
    [
        ("zh", 30, "半小时"),
        ("zh", 120, "两个小时"),
        ("zh", 5, "五分钟"),
        ("en", 30, "half an hour"),
        ("en", 60, "an hour"),
        ("en", 1, "1 minute"),
        ("en", 120, "two hours"),
    ],
)
def test_a_duration_can_be_worded_so(language: Language, minutes: int, expected: str) -> None:
    """Halves and hours have words of their own."""
    rng = _rng()
    assert expected in {wording.delay_text(rng, language, minutes) for _ in range(100)}


@pytest.mark.parametrize(
    ("language", "key", "expected"),
    [("zh", "temperature", "两度"), ("en", "temperature", "two degrees"), ("en", "brightness", "2%")],
)
def test_a_difference_can_be_worded_so(language: Language, key: str, expected: str) -> None:
    """A difference has its unit and, in Chinese, its measure word."""
    rng = _rng()
    assert expected in {wording.amount_text(rng, language, attributes()[key], 2) for _ in range(100)}


def test_alternatives_are_written_out_in_order() -> None:
    """Each combination of alternatives is a pattern; a repetition is dropped, a double space is one."""
    assert expand("(a|b) c(d|)") == ("a cd", "a c", "b cd", "b c")
    assert expand("x ( y|) z") == ("x y z", "x z")
    assert expand_all(["(a|b)", "b"]) == ("a", "b")


def test_a_command_is_rendered_without_its_empty_fields() -> None:
    """A missing room has no key, and a set value takes its attribute's place."""
    light = Command("light", "living_room", "set", "brightness", 50)
    assert render((light,)) == '{"device":"light","room":"living_room","action":"set","brightness":50}'
    warmer = Command("heater", "", "increase", "temperature", amount=2, delay_minutes=5)
    assert (
        render((warmer,))
        == '{"device":"heater","action":"increase","attribute":"temperature","by":2,"delay_minutes":5}'
    )
    assert render((Command(scene="movie"), light)).startswith('[{"scene":"movie","action":"on"},{"device"')


def _rng() -> Random:
    return Random(1)  # noqa: S311 - the same draws each time are what is wanted
