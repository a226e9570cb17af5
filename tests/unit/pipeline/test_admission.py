"""The door and the line before an engine."""

import pytest

from autoglmd.errors import DrainingError, QueueFullError, RequestIdInUseError
from autoglmd.pipeline.admission import Admission, Line


def full_line(rows: int = 2, places: int = 1) -> tuple[Admission, Line]:
    """A door whose line has no place left; the requests are r0, r1, ..."""
    admission, line = Admission(), Line(rows, places)
    for number in range(rows + places):
        admission.enter(f"r{number}", line)
    return admission, line


def test_a_full_line_refuses_with_its_numbers_and_when_to_come_back() -> None:
    """Rows and places are all taken: the error says how many wait, how many may, and when to retry."""
    admission, line = full_line(rows=2, places=1)
    with pytest.raises(QueueFullError) as refusal:
        admission.enter("late", line)
    assert (refusal.value.waiting, refusal.value.limit) == (1, 1)
    assert refusal.value.retry_after_seconds == pytest.approx(0.5)
    assert admission.refused == 1


def test_a_refused_request_leaves_nothing_behind() -> None:
    """Its id is free, and the place of another that leaves is enough for it."""
    admission, line = full_line()
    with pytest.raises(QueueFullError):
        admission.enter("late", line)
    admission.leave("r0", line, 1.0)
    admission.enter("late", line)


def test_an_id_is_in_use_until_its_request_has_left() -> None:
    """Two running requests never share an id; afterwards it is free again, in the same moment."""
    admission, line = Admission(), Line(2, 2)
    admission.enter("r", line)
    with pytest.raises(RequestIdInUseError):
        admission.enter("r", line)
    admission.leave("r", line, 1.0)
    admission.enter("r", line)


def test_a_duplicate_takes_no_place() -> None:
    """Refusing an id that is in use does not count as somebody who came in."""
    admission, line = Admission(), Line(1, 1)
    admission.enter("r", line)
    with pytest.raises(RequestIdInUseError):
        admission.enter("r", line)
    admission.enter("other", line)


def test_nobody_comes_in_while_draining() -> None:
    """Draining is looked at before all else, and is not counted as a full line."""
    admission, line = full_line()
    admission.drain()
    with pytest.raises(DrainingError):
        admission.enter("late", line)
    assert admission.is_draining
    assert admission.refused == 0


def test_lines_of_two_models_do_not_fill_each_other() -> None:
    """One model's crowd is not another's."""
    admission, _ = full_line()
    admission.enter("elsewhere", Line(1, 0))


@pytest.mark.parametrize(("seconds", "expected"), [(40.0, 8.8), (0.0, 0.8), (10_000.0, 30.0)])
def test_the_time_to_retry_follows_the_requests_that_ended(seconds: float, expected: float) -> None:
    """It is a request's mean time over the rows, moved a fifth of the way by each, within sensible bounds."""
    line = Line(1, 0)
    line.enter()
    line.leave(seconds)
    assert line.retry_after_seconds == pytest.approx(expected)
