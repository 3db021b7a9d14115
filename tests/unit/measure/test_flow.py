import numpy as np
import pytest

from meshsim.measure.flow import occupancy


def test_time_averages_of_stays() -> None:
    start, end = np.array([0.5, 1.0, 1.5]), np.array([1.5, 3.5, np.nan])
    found = occupancy(start, end, np.array([0.0, 1.0, 2.0, 4.0]))
    assert found == pytest.approx([0.5, 0.5 + 1.0 + 0.5, (1.5 + 2.0) / 2.0])


def test_the_integral_is_the_sum_of_the_stays() -> None:
    generator = np.random.default_rng(1)
    start = generator.uniform(0, 10, 1000)
    stay = generator.exponential(1.0, 1000)
    edges = np.concatenate(([0.0], np.sort(generator.uniform(0, 40, 50)), [100.0]))
    assert np.sum(occupancy(start, start + stay, edges) * np.diff(edges)) == pytest.approx(stay.sum())


def test_a_bin_without_length_holds_nobody() -> None:
    assert occupancy(np.array([0.0]), np.array([1.0]), np.array([0.0, 0.0, 1.0])) == pytest.approx([0.0, 1.0])
