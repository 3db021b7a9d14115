"""Requests of two runs, paired by rank."""

import numpy as np
import pytest

from meshsim.measure.agreement import agreement
from meshsim.measure.grid import Window

WINDOW = Window(10.0, 100.0, 10, 100)


def test_pairs_and_their_residuals(make_scenario, make_records) -> None:
    scenario = make_scenario()
    start = np.arange(0.0, 50.0, 0.5)
    one = make_records(scenario, start, 0.1)
    status = np.where(np.arange(100) == 60, 503, 200)
    tries = np.where(np.arange(100) == 70, 2, 1)
    other = make_records(scenario, start + 0.003, 0.104, status=status, tries=tries)
    found = agreement(one, other, [0], WINDOW)
    numbers = found.as_dict()
    assert numbers["requests"] == 80
    assert numbers["status_equal"] == pytest.approx(79 / 80)
    assert numbers["attempts_equal"] == pytest.approx(79 / 80)
    assert numbers["p50_error"] == pytest.approx(0.04)
    assert numbers["p99_error"] is None, "one of 80 requests lies beyond"
    assert len(found.residuals) == 78
    assert numbers["residuals"]["p99"] == pytest.approx(0.004)


def test_a_run_that_was_cut_short_is_paired_as_far_as_it_came(make_scenario, make_records) -> None:
    scenario = make_scenario()
    start = np.arange(0.0, 50.0, 0.5)
    latency = np.where(np.arange(60) == 40, np.nan, 0.2)
    one, other = make_records(scenario, start, 0.1), make_records(scenario, start[:60], latency)
    assert agreement(one, other, [0], WINDOW).as_dict()["requests"] == 39


def test_a_tail_of_many_requests_is_compared(make_scenario, make_records) -> None:
    scenario = make_scenario()
    start = np.arange(20.0, 80.0, 0.05)
    one, other = make_records(scenario, start, 0.1), make_records(scenario, start, 0.101)
    assert agreement(one, other, [0], WINDOW).as_dict()["p99_error"] == pytest.approx(0.01)


def test_closed_loads_are_not_paired(make_scenario, make_records) -> None:
    one = make_records(make_scenario(), np.arange(0.0, 50.0, 0.5))
    numbers = agreement(one, one, [], WINDOW).as_dict()
    assert numbers["requests"] == 0
    assert numbers["p50_error"] is None
