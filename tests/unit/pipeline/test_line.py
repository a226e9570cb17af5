"""The line before an engine."""

import pytest

from autoglmd.errors.availability import QueueFullError
from autoglmd.pipeline.line import Line


def test_a_full_line_refuses_with_its_numbers_and_when_to_come_back() -> None:
    """Rows and places are all taken: the error says how many wait, how many may, and when to retry."""
    line = Line(rows=2, places=1)
    for _ in range(3):
        line.enter()
    with pytest.raises(QueueFullError) as refusal:
        line.enter()
    assert (refusal.value.waiting, refusal.value.limit) == (1, 1)
    assert refusal.value.retry_after_seconds == pytest.approx(0.5)
    line.leave()
    line.enter()


@pytest.mark.parametrize(("seconds", "expected"), [(40.0, 8.8), (0.0, 0.8), (10_000.0, 30.0), (None, 1.0)])
def test_the_time_to_retry_follows_the_answers_that_ended(seconds: float | None, expected: float) -> None:
    """An answer's mean time in its row, moved a fifth of the way by each, within bounds; others teach nothing."""
    line = Line(1, 0)
    line.enter()
    line.leave(seconds)
    assert line.retry_after_seconds == pytest.approx(expected)
