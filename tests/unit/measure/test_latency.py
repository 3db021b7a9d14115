import numpy as np
import pandas as pd
import pytest

from meshsim.measure.latency import LATENCY_KEYS, Buckets, Each, LatencySummary, grouped_quantiles, inflation


def test_percentiles_are_pandas_default() -> None:
    values = np.random.default_rng(1).exponential(1.0, 137)
    found = LatencySummary.of(Each(values)).as_dict()
    assert tuple(found) == LATENCY_KEYS
    assert found["p999"] == pytest.approx(pd.Series(values).quantile(0.999), rel=1e-12)
    assert found["p50"] == pytest.approx(np.median(values), rel=1e-12)
    assert (found["mean"], found["max"]) == pytest.approx((values.mean(), values.max()))


def test_no_values_have_no_numbers() -> None:
    assert set(LatencySummary.of(Each(np.array([]))).as_dict().values()) == {None}


def test_groups_have_the_quantiles_of_each() -> None:
    generator = np.random.default_rng(3)
    values, groups = generator.exponential(1.0, 500), generator.integers(0, 7, 500)
    groups[groups == 4] = 5
    found = grouped_quantiles(values, groups, 8, (0.5, 0.9, 0.99))
    for group in range(8):
        inside = values[groups == group]
        if len(inside):
            assert found[:, group] == pytest.approx(np.quantile(inside, [0.5, 0.9, 0.99]), rel=1e-12)
        else:
            assert np.isnan(found[:, group]).all()


def test_numbers_that_count_several_times_are_as_many_numbers() -> None:
    generator = np.random.default_rng(8)
    values, groups = generator.exponential(1.0, 60), generator.integers(0, 5, 60)
    times = generator.integers(1, 9, 60)
    found = grouped_quantiles(values, groups, 6, (0.0, 0.3, 0.5, 0.99, 1.0), times)
    whole = grouped_quantiles(
        np.repeat(values, times), np.repeat(groups, times), 6, (0.0, 0.3, 0.5, 0.99, 1.0)
    )
    np.testing.assert_array_equal(found, whole)


def test_how_many_are_within_a_limit_however_they_are_kept() -> None:
    values = np.array([0.1, 0.2, 0.2, 0.3])
    each = Each(values)
    counted = Buckets(np.array([0.1, 0.2, 0.3]), np.array([1, 2, 1]), 0.8, 0.1, 0.3)
    for limit, count in ((0.05, 0), (0.1, 1), (0.2, 3), (0.25, 3), (0.3, 4), (9.0, 4)):
        assert each.within(limit) == counted.within(limit) == count
    assert counted.with_missing(3).within(9.0) == each.with_missing(3).within(9.0) == 4


def autoregressive(correlation: float, noise: np.ndarray) -> np.ndarray:
    """An AR(1) process of variance 1."""
    values, last = np.empty_like(noise), 0.0
    for place, step in enumerate(noise * (1.0 - correlation**2) ** 0.5):
        values[place] = last = correlation * last + step
    return values


def test_requests_that_depend_on_each_other_tell_less() -> None:
    """An AR(1) process of correlation 0.9 inflates the variance of its mean by (1 + 0.9) / (1 - 0.9) = 19."""
    noise = np.random.default_rng(5).normal(size=200_000)
    values = autoregressive(0.9, noise)
    assert inflation(values) == pytest.approx(19.0, rel=0.1)  # its standard error is about 3 %
    assert inflation(noise) == pytest.approx(1.0, abs=0.1)
    assert inflation(np.ones(5)) == 1.0
    assert Each(values).independent == pytest.approx(200_000 / inflation(values))
    assert Each(np.array([])).independent == 0.0


def test_neighbours_that_alternate_do_not_hide_what_lasts() -> None:
    """Two AR(1) processes in one: r1 = (0.9 - 2 · 0.9) / 3 is negative and no sign that the rest is noise."""
    slow, quick = np.random.default_rng(6).normal(size=(2, 200_000))
    values = autoregressive(0.9, slow) + 2.0**0.5 * autoregressive(-0.9, quick)
    assert inflation(values) == pytest.approx(
        (19.0 + 2.0 / 19.0) / 3.0, rel=0.15
    )  # its standard error is about 3.6 %
    assert inflation(autoregressive(-0.5, slow)) == 1.0  # which would be a third
    assert inflation(np.array([1.0, 2.0, 4.0])) == 1.0
