"""Numbers as people read them."""

import pytest

from autoglmctl.quantities import byte_count, counted, duration, milliseconds, rate


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (12_345_678, "12.3 MB"), (5e15, "5000 TB")],
)
def test_bytes_have_three_digits_and_a_unit(count: float, text: str) -> None:
    """Decimal units, as disks are sold."""
    assert byte_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (59.9, "59.9 s"), (60, "1 min"), (3661, "1 h 1 min"), (93784, "1 d 2 h"), (86405, "1 d 5 s")],
)
def test_durations_show_their_two_largest_units(seconds: float, text: str) -> None:
    """Nobody reads the seconds of a day."""
    assert duration(seconds) == text


def test_long_milliseconds_become_seconds() -> None:
    """From ten seconds on."""
    assert (milliseconds(12.4), milliseconds(12_340)) == ("12 ms", "12.3 s")


def test_a_rate_without_time_is_a_dash() -> None:
    """An engine that has done nothing has no speed."""
    assert (rate(10, 4), rate(0, 0)) == ("2.5", "-")


def test_one_is_told_as_one() -> None:
    """And none as many."""
    assert [counted(number, "turn") for number in (0, 1, 2)] == ["0 turns", "1 turn", "2 turns"]
