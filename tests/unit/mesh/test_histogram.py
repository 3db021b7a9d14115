"""Histograms against the latencies themselves: exact order statistics, within the error that is stated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshsim.engine.streams import buckets
from meshsim.measure.latency import QUANTILES, Buckets, LatencySummary, pool
from meshsim.mesh.histogram import BUCKETS, LEAST, RELATIVE_ERROR, Histogram, bucket, representative

ROUNDING = 1e-12
"""Of sums and interpolation in floats, relative."""

spread = st.floats(math.log(LEAST), math.log(1e8)).map(math.exp).filter(lambda value: value >= LEAST)
crowded = st.floats(0.0009, 0.0011)
latencies = st.lists(spread, min_size=1, max_size=300) | st.lists(crowded, min_size=1, max_size=300)


def counted(values) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(bucket(value), value)
    return histogram


@given(spread)
@settings(max_examples=500)
def test_what_a_bucket_stands_for_is_near_all_that_is_in_it(value: float) -> None:
    assert abs(representative(bucket(value)) - value) <= RELATIVE_ERROR * value


@pytest.mark.parametrize("number", [1, 2, 1000, 2500, BUCKETS - 2])
def test_at_the_edges_of_a_bucket_the_error_is_what_is_stated(number: int) -> None:
    low, high = LEAST * math.exp((number - 1) / 100), LEAST * math.exp(number / 100)
    for edge in (low, high):
        error = abs(representative(number) - edge) / edge
        assert error == pytest.approx(math.tanh(0.005), rel=1e-9)
        assert error < RELATIVE_ERROR


@given(latencies, st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_quantiles_are_within_the_stated_error(values: list[float], quantiles: list[float]) -> None:
    found = buckets(counted(values)).quantiles(quantiles)
    np.testing.assert_allclose(found, np.quantile(values, quantiles), rtol=RELATIVE_ERROR + ROUNDING)


@given(latencies)
def test_number_mean_and_maximum_are_exact(values: list[float]) -> None:
    found = buckets(counted(values))
    assert found.count == len(values)
    assert found.mean == pytest.approx(math.fsum(values) / len(values), rel=1e-15)
    assert (found.shortest, found.most) == (min(values), max(values))


@given(st.lists(latencies, min_size=1, max_size=4))
def test_pooled_histograms_are_the_histogram_of_all(parts: list[list[float]]) -> None:
    pooled = pool([buckets(counted(part)) for part in parts])
    whole = buckets(counted([value for part in parts for value in part]))
    assert pooled.count == whole.count
    np.testing.assert_array_equal(pooled.quantiles([0.0, 0.3, 0.5, 0.99, 1.0]),
                                  whole.quantiles([0.0, 0.3, 0.5, 0.99, 1.0]))  # fmt: skip
    assert pooled.mean == pytest.approx(whole.mean, rel=1e-14)


def test_pooling_with_nothing_changes_nothing() -> None:
    some, none = buckets(counted([0.5, 0.7])), buckets(Histogram())
    assert LatencySummary.of(pool([none, some, none])).as_dict() == LatencySummary.of(some).as_dict()
    assert set(LatencySummary.of(pool([none, none])).as_dict().values()) == {None}


def test_what_is_too_short_counts_as_nothing_and_too_long_as_the_longest() -> None:
    assert bucket(0.0) == bucket(0.99e-9) == 0
    assert representative(0) == 0.0
    found = buckets(counted([0.0, 0.0, 5e-10]))
    assert found.quantiles([0.5])[0] == 0.0
    assert found.most == 5e-10
    late = buckets(counted([1.0, 3e9, 8e12]))
    assert list(late.quantiles([0.5, 1.0])) == [8e12, 8e12]


def test_it_is_as_wide_as_what_it_saw_and_no_wider_than_its_range() -> None:
    histogram = counted([0.01 * 1.001**k for k in range(1000)])  # a factor of e
    assert len(histogram.counts) < 400
    generator = np.random.default_rng(4)
    histogram = counted(np.exp(generator.uniform(-40, 40, 20_000)))
    assert len(histogram.counts) <= BUCKETS
    assert sum(histogram.counts) == histogram.count == 20_000


def test_what_was_cleared_is_as_good_as_new() -> None:
    histogram = counted([0.001, 4.0, 0.3])
    histogram.clear()
    assert not any(histogram.counts)
    for value in (0.2, 0.1):
        histogram.add(bucket(value), value)
    assert (
        LatencySummary.of(buckets(histogram)).as_dict()
        == LatencySummary.of(buckets(counted([0.2, 0.1]))).as_dict()
    )


def test_a_long_sum_does_not_drift() -> None:
    histogram = Histogram()
    value, times = 0.1, 200_000
    number = bucket(value)
    for _ in range(times):
        histogram.add(number, value)
    naive = 0.0
    for _ in range(times):
        naive += value
    assert abs(histogram.total - times * value) / (times * value) < 1e-15
    assert abs(naive - times * value) / (times * value) > 1e-13  # what it would be otherwise


def test_missing_requests_are_later_than_all() -> None:
    found = buckets(counted([0.1] * 97)).with_missing(3)
    assert isinstance(found, Buckets)
    assert found.quantiles([0.9])[0] == pytest.approx(0.1, rel=RELATIVE_ERROR)
    assert found.quantiles([QUANTILES["p99"]])[0] > 1e12
    assert buckets(Histogram()).with_missing(2).quantiles([0.5])[0] > 1e12
