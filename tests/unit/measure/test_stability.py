import numpy as np
import pytest

from meshsim.measure.stability import grows
from meshsim.measure.summary import summarise


def test_a_steady_run_is_stable(make_scenario, make_records) -> None:
    scenario = make_scenario()
    assert summarise([make_records(scenario, np.arange(0.0, 100.0, 0.01))], scenario).unstable is False


def test_overload_is_unstable_and_named(make_scenario, make_records) -> None:
    scenario = make_scenario()
    start = np.arange(0.0, 100.0, 0.01)
    found = summarise([make_records(scenario, start, 0.1 + 0.25 * start, busy=4.0)], scenario).unstable
    assert found.service == "api"
    assert not found.drain_limit
    assert found.replications == 1
    assert np.all(np.diff(found.in_flight) > 0)
    assert "api can't keep up" in found.reason
    assert "in the last 22 s its workers were always busy, 100 attempts/s arrived and 80" in found.reason


def test_a_run_that_reached_the_drains_limit_is_unstable(make_scenario, make_records) -> None:
    scenario = make_scenario()
    record = make_records(scenario, np.arange(0.0, 100.0, 0.1), complete=False, end=199.0)
    found = summarise([record], scenario).unstable
    assert found.drain_limit
    assert found.service is None
    assert "drain's limit" in found.reason


def test_a_growing_queue_counts_even_if_clients_give_up(make_scenario, make_records) -> None:
    scenario = make_scenario()
    record = make_records(scenario, np.arange(0.0, 100.0, 0.01), 1.0, status=504, queued=1.0)
    record.queued *= np.linspace(0.0, 2000.0, record.queued.shape[1])
    found = summarise([record], scenario).unstable
    assert "the queue at api grew throughout the measurement window" in found.reason


@pytest.mark.parametrize(
    ("quarters", "arrived", "verdict"),
    [
        ([10, 20, 30, 40], 1000, True),
        ([10, 20, 30, 40], 2000, False),  # 30 of 2000 is bad luck
        ([0, 3, 6, 9], 50, False),  # too little to speak of
        ([10, 10, 10, 500], 1000, False),  # a fault at the end
        ([10, 400, 300, 500], 1000, False),  # it recovered meanwhile
        ([500, 300, 100, 10], 1000, False),
    ],
)
def test_the_criterion(quarters, arrived, verdict) -> None:
    assert grows(np.array(quarters, dtype=float), arrived) is verdict


def test_a_busy_queue_is_not_called_unstable() -> None:
    """M/M/1 at 90 %: at most 1 run in 100 of 2,000 arrivals looks as if it grew."""
    generator = np.random.default_rng(7)
    alarms = 0
    for _ in range(300):
        arrive = np.cumsum(generator.exponential(1.0, 2000))
        served = generator.exponential(0.9, 2000)
        leave = np.empty(2000)
        free = 0.0
        for i in range(2000):
            free = max(free, arrive[i]) + served[i]
            leave[i] = free
        from meshsim.measure.flow import occupancy

        alarms += grows(occupancy(arrive, leave, np.linspace(0.1 * arrive[-1], arrive[-1], 5)), 1800)
    assert alarms <= 3
