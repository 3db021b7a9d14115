import math
import random

import pytest
from scipy import stats

from meshsim.lab.search.verdict import (
    MOST_EXCESS,
    Observation,
    Score,
    Verdict,
    bounds,
    excess,
    judge,
    requests_needed,
    wilson,
)
from meshsim.measure.capacity import Limit
from meshsim.measure.latency import VERY_LATE

SUCCESS = Limit("a", "success", 0.99)
MEAN = Limit("a", "mean", 0.1)


def seen(*columns):
    return [Observation(seed, tuple(scores)) for seed, scores in enumerate(zip(*columns, strict=True))]


@pytest.mark.parametrize(("share", "count", "error"), [(0.0, 50, 0.05), (0.97, 400, 0.01), (1.0, 9, 0.025)])
def test_wilson_s_bounds_are_scipy_s(share, count, error) -> None:
    result = stats.binomtest(round(share * count), count)
    expected = result.proportion_ci(confidence_level=1.0 - 2.0 * error, method="wilson")
    assert wilson(share, count, error) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_replications_that_agree_show_no_more_than_their_requests() -> None:
    few, many = ([Score(1.0, 1.0, count, count)] * 4 for count in (20, 2000))
    assert judge([SUCCESS], seen(few), 0.05) is Verdict.UNDECIDED
    assert judge([SUCCESS], seen(many), 0.05) is Verdict.MET


def test_bursts_that_no_run_has_seen_are_not_ruled_out() -> None:
    """Requests that are late together: many of them, all in time, are worth as few as there are bursts."""
    bursty = [Score(1.0, 1.0, 2000, 20.0)] * 4
    assert judge([SUCCESS], seen(bursty), 0.05) is Verdict.UNDECIDED
    mixed = [Score(1.0, 1.0, 2000, 2000.0)] * 2 + [Score(1.0, 1.0, 2000, 20.0)] * 2
    assert judge([SUCCESS], seen(mixed), 0.05) is Verdict.UNDECIDED


def test_requests_of_one_run_are_not_independent() -> None:
    """Many requests, but runs that differ: Student's interval is the wider one."""
    shares = [Score(share, share, 100_000, 100_000) for share in (0.999, 0.985, 0.998, 0.99)]
    low, high = bounds(SUCCESS, shares, 0.05)
    student = stats.t.interval(0.9, 3, 0.993, stats.sem([score.share for score in shares]))
    assert (low, high) == pytest.approx(student, abs=1e-9)
    assert judge([SUCCESS], seen(shares), 0.05) is Verdict.UNDECIDED


def test_all_limits_must_be_met_and_one_is_enough_to_miss() -> None:
    good, bad = [Score(1.0, 1.0, 5000, 5000)] * 8, [Score(0.9, 0.9, 5000, 5000)] * 8
    fast, slow = ([Score(value + 0.001 * k) for k in range(8)] for value in (0.05, 0.2))
    assert judge([SUCCESS, MEAN], seen(good, fast), 0.01) is Verdict.MET
    assert judge([SUCCESS, MEAN], seen(good, slow), 0.01) is Verdict.MISSED
    assert judge([SUCCESS, MEAN], seen(bad, fast), 0.01) is Verdict.MISSED


def test_unstable_runs_do_not_hide_what_the_others_say() -> None:
    slow, fast, unstable = Score(0.5), Score(0.05), Score(VERY_LATE)
    assert judge([MEAN], seen([slow] * 4 + [unstable] * 4), 0.01) is Verdict.MISSED
    assert judge([MEAN], seen([unstable] * 4), 0.01) is Verdict.MISSED
    assert judge([MEAN], seen([fast] * 7 + [unstable]), 0.01) is Verdict.UNDECIDED


def test_one_run_decides_nothing() -> None:
    assert judge([MEAN], seen([Score(9.0)]), 0.05) is Verdict.UNDECIDED


@pytest.mark.parametrize("truth", [Verdict.MET, Verdict.MISSED])
def test_verdicts_are_wrong_no_oftener_than_said(truth) -> None:
    """A value exactly at the limit is neither; each verdict on it is an error, and as rare as promised."""
    error, trials = 0.05, 2000
    generator = random.Random(1)
    wrong = sum(
        judge([MEAN], seen([Score(generator.gauss(0.1, 0.02)) for _ in range(6)]), error) is truth
        for _ in range(trials)
    )
    assert wrong <= stats.binom.ppf(0.9999, trials, error)
    assert wrong >= stats.binom.ppf(0.0001, trials, error)  # and no rarer: the test has power


def test_excess_orders_limits_by_how_much_they_are_missed() -> None:
    assert excess(MEAN, [Score(0.2), Score(0.2)]) == pytest.approx(math.log(2.0))
    assert excess(SUCCESS, [Score(0.97, 0.97, 100, 100)]) == pytest.approx(math.log(3.0))
    assert excess(SUCCESS, [Score(1.0, 1.0, 100, 100)]) == -MOST_EXCESS
    assert excess(MEAN, [Score(None), Score(0.01)]) == MOST_EXCESS


@pytest.mark.parametrize("least", [0.5, 0.99, 0.9999])
@pytest.mark.parametrize("error", [0.05, 0.0125])
def test_so_many_good_requests_show_a_share_and_one_less_does_not(least, error) -> None:
    need = requests_needed(least, error)
    assert wilson(1.0, need, error)[0] == pytest.approx(least, rel=1e-12)
    assert wilson(1.0, 0.99 * need, error)[0] < least < wilson(1.0, 1.01 * need, error)[0]
    assert requests_needed(1.0, error) == math.inf
