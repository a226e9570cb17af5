"""How the three calibration methods choose a range."""

import numpy as np
import pytest

from autoglmctl.build.calibration import Rotary, turning_range
from autoglmctl.build.options import CalibrationMethod
from autoglmctl.build.thresholds import SMALLEST_THRESHOLD, find_thresholds

SAMPLES = np.random.default_rng(3).standard_normal((4000, 8)).astype(np.float32)


@pytest.mark.parametrize("method", list(CalibrationMethod))
def test_a_threshold_is_positive_and_never_beyond_what_was_seen(method: CalibrationMethod) -> None:
    """A range wider than the data wastes integers; a channel of zeros still needs a scale."""
    samples = SAMPLES.copy()
    samples[:, 3] = 0
    found = find_thresholds(samples, method)
    assert found.dtype == np.float32
    assert found.shape == (8,)
    assert found[3] == np.float32(SMALLEST_THRESHOLD)
    live = np.arange(8) != 3
    assert (found[live] > 0).all()
    assert (found[live] <= np.abs(samples).max(axis=0)[live] * (1 + 1e-6)).all()


def test_minmax_clips_nothing() -> None:
    """Its threshold is the largest magnitude, whatever the sign."""
    found = find_thresholds(SAMPLES, CalibrationMethod.MINMAX)
    np.testing.assert_array_equal(found, np.abs(SAMPLES).max(axis=0))


@pytest.mark.parametrize("method", [CalibrationMethod.PERCENTILE, CalibrationMethod.ENTROPY])
def test_a_lone_outlier_is_clipped(method: CalibrationMethod) -> None:
    """One sample at a hundred times the rest must not take the resolution from all others."""
    samples = np.repeat(SAMPLES, 8, axis=0)
    samples[17] = 400.0
    found = find_thresholds(samples, method)
    assert (found < 100).all()
    assert (found > 2).all()


def test_entropy_keeps_nearly_all_of_an_even_distribution() -> None:
    """Where every magnitude is as frequent as any other, clipping loses more than it gains."""
    samples = np.random.default_rng(4).uniform(-1, 1, (20000, 4)).astype(np.float32)
    assert (find_thresholds(samples, CalibrationMethod.ENTROPY) > 0.9).all()


def test_entropy_reconstructs_a_long_tail_better_than_minmax() -> None:
    """On a distribution with heavy tails the bulk, where nearly all values are, gets finer steps."""
    samples = np.random.default_rng(5).standard_t(2.5, (30000, 1)).astype(np.float32)
    errors = {}
    for method in (CalibrationMethod.MINMAX, CalibrationMethod.ENTROPY):
        scale = find_thresholds(samples, method)[0] / 127
        restored = np.rint(samples / scale).clip(-127, 127) * scale
        errors[method] = np.median(np.abs(restored - samples))
    assert errors[CalibrationMethod.ENTROPY] < 0.5 * errors[CalibrationMethod.MINMAX]


@pytest.mark.parametrize("interleaved", [True, False])
def test_a_keys_range_covers_every_rotation(interleaved: bool) -> None:
    """What a pair reaches at one position, either of its numbers reaches at another."""
    rotary = Rotary(4, interleaved=interleaved)
    keys = np.zeros((1, 1, 6), dtype=np.float32)
    first, second = rotary.pairs()
    keys[0, 0, first[0]], keys[0, 0, second[0]], keys[0, 0, 5] = 3.0, 4.0, 7.0
    reach = turning_range(keys, rotary)
    assert reach[0, 0, first[0]] == reach[0, 0, second[0]] == 5.0
    assert reach[0, 0, 5] == 7.0  # beyond the rotary part nothing turns


def test_interleaved_pairs_are_neighbours_and_others_half_apart() -> None:
    """Glm turns (0, 1), (2, 3); Llama (0, 2), (1, 3)."""
    pairs = {flag: np.stack(Rotary(4, interleaved=flag).pairs()).T.tolist() for flag in (True, False)}
    assert pairs == {True: [[0, 1], [2, 3]], False: [[0, 2], [1, 3]]}
