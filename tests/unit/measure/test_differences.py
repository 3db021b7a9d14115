import math

import numpy as np
import pytest
from scipy import stats

from meshsim.measure.differences import difference, unpaired_replications
from meshsim.measure.intervals import interval


@pytest.fixture
def pairs():
    generator = np.random.default_rng(4)
    luck = generator.normal(0.0, 3.0, 12)
    return (10.0 + luck).tolist(), (9.0 + luck + generator.normal(0.0, 0.4, 12)).tolist()


def welch(a, b, count: int) -> float:
    """The half width of Welch's interval with so many replications of each and these variances, by scipy."""
    deviations = np.std(a, ddof=1), np.std(b, ddof=1)
    result = stats.ttest_ind_from_stats(0.0, deviations[0], count, 0.0, deviations[1], count, equal_var=False)
    scale = math.sqrt((deviations[0] ** 2 + deviations[1] ** 2) / count)
    freedom = getattr(result, "df", None)
    if freedom is None:
        first, second = (deviation**2 / count for deviation in deviations)
        freedom = (first + second) ** 2 / ((first**2 + second**2) / (count - 1))
    return float(stats.t.ppf(0.975, math.floor(freedom))) * scale


def test_the_interval_is_scipys_paired_one(pairs) -> None:
    a, b = pairs
    found = difference("x", a, b)
    low, high = stats.ttest_rel(b, a).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.a, found.b) == pytest.approx((np.mean(a), np.mean(b)))
    assert found.correlation == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_what_pairing_saves_is_what_the_covariance_takes_away(pairs) -> None:
    a, b = pairs
    found = difference("x", a, b)
    alone = np.var(a, ddof=1) + np.var(b, ddof=1)
    covariance = np.cov(a, b)[0, 1]
    assert found.variance_ratio == pytest.approx(alone / (alone - 2.0 * covariance))
    assert found.variance_ratio > 10.0


def test_unpaired_replications_is_the_least_number_by_welch(pairs) -> None:
    a, b = pairs
    half = difference("x", a, b).half_width
    count = unpaired_replications(a, b, half)
    assert count is not None
    assert count > 12
    assert welch(a, b, count) <= half * (1 + 1e-8) < welch(a, b, count - 1)


def test_unpaired_runs_of_that_number_have_such_an_interval() -> None:
    """What the number promises happens: as many runs with luck of their own leave as wide an interval."""
    generator = np.random.default_rng(8)
    luck = generator.normal(0.0, 3.0, 400)
    a, b = 10.0 + luck, 9.0 + luck + generator.normal(0.0, 0.9, 400)
    paired = difference("x", a.tolist(), b.tolist())
    count = paired.unpaired_replications
    assert count is not None
    fresh_a = generator.normal(10.0, 3.0, count)
    fresh_b = generator.normal(9.0, 3.0, count) + generator.normal(0.0, 0.9, count)
    low, high = stats.ttest_ind(fresh_b, fresh_a, equal_var=False).confidence_interval(0.95)
    # a sample variance from so many values has a relative standard error of sqrt(2 / n); four of them,
    # of both variances and of the two numbers that are compared
    slack = 4.0 * math.sqrt(2.0 / 400 + 2.0 / count) / 2.0
    assert (high - low) / 2.0 == pytest.approx(paired.half_width, rel=slack)


def test_told_from_zero_alone_and_together() -> None:
    a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    b = [value + change for value, change in zip(a, [0.3, 0.5, 0.1, 0.4, 0.2, 0.6], strict=True)]
    p = stats.ttest_rel(b, a).pvalue
    assert 0.001 < p < 0.05
    few, many = difference("x", a, b, family=1), difference("x", a, b, family=math.ceil(0.05 / p) + 1)
    assert few.told
    assert few.told_jointly
    assert many.told
    assert not many.told_jointly
    assert not difference("x", a, a[::-1]).told


def test_no_difference_at_all_is_identical_and_rounding_is_none() -> None:
    found = difference("x", [0.1, 0.2], [0.1 * (1 + 1e-15), 0.2])
    assert found.identical
    assert not found.told
    assert found.variance_ratio is None
    assert found.unpaired_replications is None


def test_constants_that_differ_are_told() -> None:
    found = difference("x", [1.0, 1.0, 1.0], [2.0, 2.0, 2.0])
    assert found.told
    assert not found.identical
    assert found.correlation is None
    assert found.unpaired_replications == 2


def test_bonferroni_makes_all_intervals_hold_together() -> None:
    """Ten metrics without any difference: at most one comparison in twenty tells any of them apart."""
    generator = np.random.default_rng(2)
    comparisons, wrong_alone, wrong = 300, 0, 0
    for _ in range(comparisons):
        found = [
            difference("x", generator.normal(size=8).tolist(), generator.normal(size=8).tolist(), family=10)
            for _ in range(10)
        ]
        wrong_alone += any(each.told for each in found)
        wrong += any(each.told_jointly for each in found)
    assert wrong <= stats.binom.ppf(0.999, comparisons, 0.05)
    assert wrong_alone > stats.binom.ppf(0.999, comparisons, 0.05)  # why it is needed


def test_half_width_of_the_difference_is_the_paired_one(pairs) -> None:
    a, b = pairs
    change = [second - first for first, second in zip(a, b, strict=True)]
    found, own = difference("x", a, b), interval(change)
    assert (found.difference, found.half_width) == (own.mean, own.half_width)
