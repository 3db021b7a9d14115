import numpy as np
import pytest

from meshsim.measure.request_pairs import RequestPairs, agreement, compare_requests, pairable

NAN = float("nan")


def test_each_fate_of_a_request_is_counted(make_scenario, make_records) -> None:
    scenario = make_scenario()
    start = np.arange(10.0, 17.0)
    a = make_records(
        scenario, start, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, NAN], status=[500, 200, 200, 200, 200, 500, 200]
    )
    b = make_records(
        scenario, start, [1.0, 0.5, 1.0, 3.0, 1.0, 2.0, 1.0], status=[200, 200, 200, 200, 500, 504, 200]
    )
    found = compare_requests(a, b, [0], 10.0, 100.0)
    assert found == RequestPairs(
        count=7, rescued=2, faster=1, same=1, slower=1, lost=1, failed=1, difference=pytest.approx(0.5)
    )
    back = compare_requests(b, a, [0], 10.0, 100.0)
    assert (back.rescued, back.faster, back.slower, back.lost) == (1, 1, 1, 2)


def test_only_the_window_counts(make_scenario, make_records) -> None:
    scenario = make_scenario()
    a = make_records(scenario, np.arange(0.0, 30.0), 1.0)
    b = make_records(scenario, np.arange(0.0, 30.0), 1.0 + 1e-12)
    found = compare_requests(a, b, [0], 10.0, 20.0)
    assert found.same == found.count == 10
    assert found.difference == 0.0  # what rounding leaves is none
    assert compare_requests(a, b, [0], 50.0, 60.0).difference is None


def test_loads_that_differ_or_are_closed_have_no_pairs(make_scenario) -> None:
    api = {"to": "api", "rate": "10/s"}
    closed = {"to": "api", "users": 3}
    a = make_scenario(load=[api, {"to": "api", "rate": "5/s"}, closed, api])
    b = make_scenario(load=[api, {"to": "api", "rate": "6/s"}, closed])
    found, reasons = pairable(a, b)
    assert found == [0]
    assert len(reasons) == 3
    assert "load[1] is not the same" in reasons[0]
    assert "load[2] is closed" in reasons[1]
    assert "load[3] is in A only" in reasons[2]


def test_engine_gives_pairs_the_same_requests(make_scenario) -> None:
    """The engine's arrivals are the same whatever the policy: the assumption that all this rests on."""
    from meshsim.engine import simulate

    a = make_scenario(duration="20s", load=[{"to": "api", "rate": "30/s"}, {"to": "api", "rate": "9/s"}])
    b = make_scenario(
        duration="20s",
        load=[{"to": "api", "rate": "30/s"}, {"to": "api", "rate": "9/s"}],
        policies={"api": {"timeout": "12ms", "retries": {"attempts": 2}}},
        api={"time": {"exponential": "10ms"}},
    )
    first, second = simulate(a, 3).requests, simulate(b, 3).requests
    for load in (0, 1):
        assert np.array_equal(first.start[first.load == load], second.start[second.load == load])
    assert compare_requests(simulate(a, 3), simulate(b, 3), [0, 1], 10.0, 20.0).count > 300


# ---- simulated and live ------------------------------------------------------------------------------


def test_pairs_and_their_residuals(make_scenario, make_records) -> None:
    scenario = make_scenario()
    start = np.arange(0.0, 50.0, 0.5)
    one = make_records(scenario, start, 0.1)
    status = np.where(np.arange(100) == 60, 503, 200)
    tries = np.where(np.arange(100) == 70, 2, 1)
    other = make_records(scenario, start + 0.003, 0.104, status=status, tries=tries)
    found = agreement(one, other, [0], 10.0, 100.0)
    numbers = found.numbers
    assert numbers.requests == 80
    assert numbers.status_equal == pytest.approx(79 / 80)
    assert numbers.attempts_equal == pytest.approx(79 / 80)
    assert numbers.p50_error == pytest.approx(0.04)
    assert numbers.p99_error is None, "one of 80 requests lies beyond"
    assert len(found.residuals) == 78
    assert numbers.residuals.p99 == pytest.approx(0.004)


def test_a_run_that_was_cut_short_is_paired_as_far_as_it_came(make_scenario, make_records) -> None:
    scenario = make_scenario()
    start = np.arange(0.0, 50.0, 0.5)
    latency = np.where(np.arange(60) == 40, np.nan, 0.2)
    one, other = make_records(scenario, start, 0.1), make_records(scenario, start[:60], latency)
    assert agreement(one, other, [0], 10.0, 100.0).numbers.requests == 39


def test_a_tail_of_many_requests_is_compared(make_scenario, make_records) -> None:
    scenario = make_scenario()
    start = np.arange(20.0, 80.0, 0.05)
    one, other = make_records(scenario, start, 0.1), make_records(scenario, start, 0.101)
    assert agreement(one, other, [0], 10.0, 100.0).numbers.p99_error == pytest.approx(0.01)


def test_closed_loads_are_not_paired(make_scenario, make_records) -> None:
    one = make_records(make_scenario(), np.arange(0.0, 50.0, 0.5))
    numbers = agreement(one, one, [], 10.0, 100.0).numbers
    assert numbers.requests == 0
    assert numbers.p50_error is None
