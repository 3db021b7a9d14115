"""Differences of two runs, and what chance does to them."""

import math
import statistics

import numpy as np
import pytest

from meshsim.measure.intervals import interval
from meshsim.measure.jackknife import Quotient, Times, gap

ROUNDS = 400
MISSES = 36  # of 400 intervals of 95 % more than 36 miss with probability 3e-4


def count(amounts) -> Quotient:
    return Quotient.count(np.asarray(amounts, dtype=float))


def test_a_count_is_the_sum_and_its_interval_students() -> None:
    one, other = np.array([4.0, 7, 1, 9, 3]), np.array([5.0, 7, 2, 4, 6])
    found = gap(count(one), count(other), 0.95)
    assert found.difference == pytest.approx(other.sum() - one.sum())
    assert found.half_width == pytest.approx(5 * interval((other - one).tolist(), 0.95).half_width)


def test_runs_that_share_everything_have_no_spread() -> None:
    assert gap(count([3, 1, 4]), count([3, 1, 4]), 0.99) == gap(count([0, 0, 0]), count([0, 0, 0]), 0.99)
    assert gap(count([3, 1, 4]), count([3, 1, 4]), 0.99).half_width == 0.0


def test_what_one_run_lacks_is_not_compared() -> None:
    nothing = Times(np.zeros(0), np.zeros(0, np.int64), 3, None)
    assert gap(count([1, 2, 3]), nothing, 0.95) is None
    once = Quotient(np.array([1.0, 0.0, 0.0]), np.array([2.0, 0.0, 0.0]))
    assert gap(once, once, 0.95).half_width < math.inf
    single = Quotient(np.array([1.0]), np.array([2.0]))
    assert gap(single, single, 0.95).half_width == math.inf


def times(rng, shift: float, quantile: float | None, common) -> Times:
    """3,000 latencies, half of each the common one's, half its own."""
    values = common + rng.exponential(1.0, len(common)) + shift
    return Times(values, np.repeat(np.arange(20), len(common) // 20), 20, quantile)


@pytest.mark.parametrize("quantile", [None, 0.5, 0.9, 0.99])
def test_intervals_of_latencies_cover(quantile: float | None) -> None:
    rng, missed = np.random.default_rng(3), 0
    for _ in range(ROUNDS):
        common = rng.exponential(1.0, 3000)
        found = gap(times(rng, 0.0, quantile, common), times(rng, 0.0, quantile, common), 0.95)
        missed += abs(found.difference) > found.half_width
    assert missed <= MISSES
    assert missed >= 3  # and are not wide for nothing: fewer have probability 1e-5


@pytest.mark.parametrize("mean", [0.2, 3.0, 50.0])
def test_intervals_of_counts_cover(mean: float) -> None:
    """Independent Poisson counts: the least that two bodies can share."""
    rng, missed = np.random.default_rng(4), 0
    for _ in range(ROUNDS):
        found = gap(count(rng.poisson(mean, 20)), count(rng.poisson(mean, 20)), 0.95)
        missed += abs(found.difference) > found.half_width
    assert missed <= MISSES
    assert missed >= 3


def test_common_random_numbers_make_small_errors_plain() -> None:
    rng = np.random.default_rng(5)
    common = rng.exponential(20.0, 3000)
    apart = gap(times(rng, 0.0, None, common), times(rng, 0.2, None, common), 0.99)
    assert abs(apart.difference) > apart.half_width
    alone = statistics.stdev(common) / math.sqrt(3000)
    assert apart.half_width < alone  # unpaired, it would drown
