import math

import numpy as np
import pytest
from scipy import stats

from meshsim.measure.intervals import interval, median, replications_for, t_quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 29, 30, 99, 1000, 1001, 4001, 10**7])
@pytest.mark.parametrize("probability", [0.5, 0.6, 0.9, 0.95, 0.975, 0.995, 0.9999, 0.025])
def test_quantile_is_scipys(freedom: int, probability: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(
        stats.t.ppf(probability, freedom), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize(("probability", "freedom"), [(0.0, 3), (1.0, 3), (0.9, 0), (math.nan, 3)])
def test_quantile_refuses_what_has_none(probability: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="t quantile"):
        t_quantile(probability, freedom)


def test_interval_is_scipys() -> None:
    values = [3.1, 2.7, 3.6, 3.3, 2.9]
    found = interval(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.half_width == pytest.approx((high - low) / 2)
    assert found.as_dict() == {
        "mean": found.mean, "low": found.low, "high": found.high, "half_width": found.half_width,
        "confidence": 0.95, "replications": 5,
    }  # fmt: skip


def test_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    found = [interval(list(generator.normal(5.0, 2.0, 6)), 0.9) for _ in range(2000)]
    covered = np.mean([each.low <= 5.0 <= each.high for each in found])
    assert abs(covered - 0.9) < 0.027  # four standard errors


def test_equal_values_have_no_width_and_one_value_no_interval() -> None:
    assert interval([2.0, 2.0, 2.0]).half_width == 0.0
    with pytest.raises(ValueError, match="two replications"):
        interval([1.0])


@pytest.mark.parametrize("half_width", [5.0, 1.0, 0.31, 0.02])
def test_replications_for_is_the_least_number_that_does(half_width: float) -> None:
    def width(count: int) -> float:
        return float(stats.t.ppf(0.975, count - 1)) * 1.7 / math.sqrt(count)

    found = replications_for(half_width, 1.7, lambda count: count - 1)
    assert found is not None
    assert width(found) <= half_width * (1 + 1e-8)
    assert found == 2 or width(found - 1) > half_width


def test_no_number_of_replications_makes_an_interval_of_no_width() -> None:
    assert replications_for(0.0, 1.0, lambda count: count - 1) is None
    assert replications_for(0.0, 0.0, lambda count: count - 1) == 2


# ---- medians: against binomial tails, and by how often they cover the truth ----


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
