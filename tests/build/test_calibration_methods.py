"""Where the calibration methods of the KV cache differ, and where they hardly do."""

import pytest

from autoglmctl.build.options import CalibrationMethod, KvGranularity
from tests.build.calibration_methods import Outcome, outcomes

Outcomes = dict[tuple[KvGranularity, CalibrationMethod], Outcome]
CLIPPING = (CalibrationMethod.PERCENTILE, CalibrationMethod.ENTROPY)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Return what every method does to the same checkpoint."""
    return {(each.granularity, each.method): each for each in outcomes(tmp_path_factory.mktemp("methods"))}


@pytest.mark.parametrize("method", CLIPPING)
def test_with_scales_per_channel_the_methods_hardly_clip(found: Outcomes, method: CalibrationMethod) -> None:
    """A channel has too few samples for a percentile, and alike channels leave entropy nothing to clip."""
    assert 0.98 < found[KvGranularity.PER_CHANNEL, method].thresholds <= 1


@pytest.mark.parametrize("method", CLIPPING)
def test_with_one_scale_per_tensor_they_clip_and_gain(found: Outcomes, method: CalibrationMethod) -> None:
    """There the largest value of all would set the step of every channel."""
    minmax, clipped = (found[KvGranularity.PER_TENSOR, each] for each in (CalibrationMethod.MINMAX, method))
    assert clipped.thresholds < 0.98
    assert clipped.agreement.logit_error_relative < minmax.agreement.logit_error_relative


def test_scales_per_channel_are_worth_more_than_any_method(found: Outcomes) -> None:
    """Which is why they are the default, and minmax with them."""
    best = found[KvGranularity.PER_CHANNEL, CalibrationMethod.MINMAX].agreement.logit_error_relative
    others = [each for key, each in found.items() if key[0] is KvGranularity.PER_TENSOR]
    assert all(best < each.agreement.logit_error_relative for each in others)
