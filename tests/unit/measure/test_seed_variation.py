"""How far apart runs may lie: those with other seeds stay within it, and rare events have room."""

import math

import numpy as np
import pytest

from meshsim.measure.seed_variation import FEWEST, SeedVariation


def test_two_runs_of_the_same_law_are_within_it_as_often_as_it_says() -> None:
    """20 runs and a pair of further ones, 4000 times: 95 % within 4 standard errors, 1.4 %."""
    rng = np.random.default_rng(7)
    within = 0
    for _ in range(4000):
        values = rng.normal(100.0, 5.0, 20)
        variation = SeedVariation({"n": values.tolist()}, 20)
        within += abs(np.diff(rng.normal(100.0, 5.0, 2))[0]) <= variation.bound("n", 0.0, 0.95)
    assert within / 4000 == pytest.approx(0.95, abs=0.014)


def test_events_that_never_came_may_come_once_or_twice() -> None:
    variation = SeedVariation({}, 10)
    bound = variation.bound("failures.UC", 1.0, 0.997)
    assert 2.0 < bound < 3.0
    assert math.isclose(11.0**-bound, 0.003)
    assert variation.bound("a share of 1000", 0.001, 0.997) == pytest.approx(bound / 1000.0)


def test_few_runs_bound_nothing() -> None:
    assert SeedVariation({"n": [5.0] * (FEWEST - 1)}, FEWEST - 1).bound("n", 1.0, 0.95) == math.inf
    assert SeedVariation({"n": [5.0] * FEWEST}, FEWEST).bound("n", 0.0, 0.95) == 0.0
