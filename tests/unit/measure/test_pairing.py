import numpy as np
import pytest

from meshsim.measure.pairing import RequestPairs, pair, pairable

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
    found = pair(a, b, [0], 10.0, 100.0)
    assert found == RequestPairs(
        rescued=2, faster=1, same=1, slower=1, lost=1, failed=1, difference=pytest.approx(0.5)
    )
    assert found.count == 7
    back = pair(b, a, [0], 10.0, 100.0)
    assert (back.rescued, back.faster, back.slower, back.lost) == (1, 1, 1, 2)


def test_only_the_window_counts(make_scenario, make_records) -> None:
    scenario = make_scenario()
    a = make_records(scenario, np.arange(0.0, 30.0), 1.0)
    b = make_records(scenario, np.arange(0.0, 30.0), 1.0 + 1e-12)
    found = pair(a, b, [0], 10.0, 20.0)
    assert found.same == found.count == 10
    assert found.difference == 0.0  # what rounding leaves is none
    assert pair(a, b, [0], 50.0, 60.0).difference is None


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
    assert pair(simulate(a, 3), simulate(b, 3), [0, 1], 10.0, 20.0).count > 300
