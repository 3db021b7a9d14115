"""Medians and their intervals: against binomial tails, and by how often they cover the truth."""

import numpy as np
import pytest
from scipy import stats

from meshsim.measure.intervals import median


@pytest.mark.parametrize("count", range(1, 40))
def test_the_interval_is_the_narrowest_that_is_sure_enough(count: int) -> None:
    values = [float(value) for value in range(count)]
    found = median(values[::-1])
    assert found.median == np.median(values)
    k = values.index(found.low) + 1
    assert found.high == values[-k]
    assert found.confidence == pytest.approx(1.0 - 2.0 * stats.binom.cdf(k - 1, count, 0.5), abs=1e-12)
    if count >= 6:
        assert found.confidence >= 0.95
        assert 1.0 - 2.0 * stats.binom.cdf(k, count, 0.5) < 0.95 or 2 * (k + 1) > count
    else:
        assert (found.low, found.high) == (values[0], values[-1])


def test_it_covers_a_skewed_median_as_often_as_it_says() -> None:
    times = 4000
    samples = np.random.default_rng(5).pareto(1.2, size=(times, 12))
    truth = stats.lomax.median(1.2)
    found = [median(sample.tolist()) for sample in samples]
    covered = sum(each.low <= truth <= each.high for each in found)
    sure = found[0].confidence
    low, high = stats.binom.interval(0.999, times, sure)
    assert low <= covered <= high


def test_one_value_is_its_own_median_and_says_nothing_more() -> None:
    found = median([3.0])
    assert (found.median, found.low, found.high, found.confidence, found.replications) == (
        3.0,
        3.0,
        3.0,
        0.0,
        1,
    )
    with pytest.raises(ValueError, match="median"):
        median([])
