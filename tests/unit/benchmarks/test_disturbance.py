"""What others took of the machine."""

import os

import pytest

from benchmarks import disturbance
from benchmarks.disturbance import Reading

CORES = os.cpu_count() or 1


def test_others_are_everybody_but_us() -> None:
    """Half of every core for ten seconds, beside ours."""
    before, after = Reading(0.0, 100.0, 50.0), Reading(10.0, 100.0 + 8.0 * CORES, 50.0 + 3.0 * CORES)
    assert before.others_share(after) == pytest.approx(0.5)


def test_a_share_is_never_below_zero() -> None:
    """The kernel's accounts lag behind each other by ticks."""
    assert Reading(0.0, 10.0, 5.0).others_share(Reading(1.0, 10.1, 5.2)) == 0.0


def test_our_own_work_is_not_others() -> None:
    """What this process burns is on our account."""
    before = disturbance.read()
    sum(number * number for number in range(2_000_000))
    after = disturbance.read()
    assert after.ours > before.ours
    assert after.everybody > before.everybody


def test_no_patience_is_no_waiting() -> None:
    """The default measures at once."""
    before = disturbance.read()
    disturbance.wait_until_quiet(0.0)
    assert disturbance.read().at - before.at < disturbance.SAMPLE_SECONDS
