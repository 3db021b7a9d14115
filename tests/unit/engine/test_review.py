"""What a review once found wrong."""

from __future__ import annotations

import numpy as np
import pytest

import meshsim as ms
from meshsim.engine import simulate
from meshsim.errors import MeshsimError
from meshsim.measure.series import series
from meshsim.policies.endpoint import Endpoint
from meshsim.policies.outlier import ConsecutiveErrors
from meshsim.scenario.model import Scenario


def scenario(**document: object) -> Scenario:
    base = {"duration": "3s", "services": {"s": {}}, "load": [{"to": "s", "rate": "200/s"}]}
    return Scenario.model_validate({**base, **document})


def test_the_latest_of_overlapping_faults_counts_even_if_an_older_one_is_equal() -> None:
    events = [
        {"at": "100ms", "for": "2800ms", "service": "s", "errors": "10%"},
        {"at": "200ms", "for": "2700ms", "service": "s", "errors": "90%"},
        {"at": "300ms", "for": "100ms", "service": "s", "errors": "10%"},
    ]
    requests = simulate(scenario(events=events)).requests
    late = (requests.start > 0.5) & (requests.start < 2.8)
    assert np.mean(requests.status[late] == 500) == pytest.approx(0.9, abs=0.06)


def test_a_push_that_was_overtaken_comes_too_late() -> None:
    made = scenario(
        services={"f": {"replicas": 20, "script": [{"call": "s", "optional": False}]}, "s": {}},
        load=[{"to": "f", "rate": "400/s"}],
        mesh={"push_delay": {"exponential": "300ms"}},
        events=[
            {"at": "500ms", "set": {"policies.s.fault": {"abort": {"percent": "100%"}}}},
            {"at": "510ms", "set": {"policies.s.fault": {"abort": {"percent": "0%"}}}},
        ],
        duration="6s",
    )
    requests = simulate(made).requests
    assert (requests.status[requests.start > 5.0] == 200).all()


def test_an_arrival_due_where_the_rate_ends_still_comes() -> None:
    profile = [{"at": "0s", "rate": "4/s"}, {"at": "1s", "rate": "0/s"}, {"at": "2s", "rate": "4/s"}]
    made = scenario(load=[{"to": "s", "profile": profile, "arrivals": "constant"}])
    assert simulate(made).requests.start.tolist() == pytest.approx([0.25, 0.5, 0.75, 1.0, 2.25, 2.5, 2.75])


def test_what_was_never_answered_is_later_than_any_percentile_allows() -> None:
    slow = {
        "mixture": [
            {"weight": 986, "constant": "10ms"},
            {"weight": 5, "constant": "2s"},
            {"weight": 9, "constant": "1000s"},
        ]
    }
    made = scenario(
        duration="50s", drain="30s", services={"s": {"time": slow}},
        objectives=[{"service": "s", "p99": "1s"}, {"service": "s", "p90": "1s"}],
    )  # fmt: skip
    p99, p90 = ms.run(made).summary["objectives"]
    assert not p99["met"]
    assert p99["measured"]["p99"] is None or p99["measured"]["p99"] > 1.9
    assert p90["met"]


def test_a_long_drain_after_a_short_run_has_bounded_tables() -> None:
    made = scenario(duration="1ms", services={"s": {"time": "5s"}}, load=[{"to": "s", "rate": "5000/s"}])
    run = simulate(made)
    assert run.busy.shape[1] <= run.grid.most
    assert run.busy.sum() == pytest.approx(5.0 * len(run.requests.start))
    assert len(series([run], made)["time"]) < 50_000


def test_retries_without_end_at_one_instant_are_told() -> None:
    retries = {"attempts": "unlimited", "backoff": {"base": "0ms"}}
    with pytest.raises(MeshsimError, match="time would never pass"):
        simulate(scenario(services={"s": {"errors": "100%"}}, policies={"s": {"retries": retries}}))


def test_states_without_load_end_with_the_run() -> None:
    mmpp = {"rates": ["0/s", "1/h"], "mean_times": ["1ms", "1ms"]}
    assert len(simulate(scenario(load=[{"to": "s", "arrivals": {"mmpp": mmpp}}])).requests.start) <= 1


@pytest.mark.parametrize(("interval", "now"), [(1e-4, 5000.0), (7e-4, 35_000.0), (10.0, 30.0)])
def test_the_next_tick_is_never_now(interval: float, now: float) -> None:
    rule = ConsecutiveErrors(5, 0, interval, 1e9, 1e9, 1.0, False, 0.0, 0.0, 0.0)
    host = Endpoint("s/0", 0)
    host.ejected, host.returns = True, 1e9
    for _ in range(2000):
        tick = rule.next_tick([host], now)
        assert tick > now
        now = tick


def test_an_override_finds_the_files_of_a_scenario_read_elsewhere(tmp_path) -> None:
    (tmp_path / "arrivals.csv").write_text("time\n0.1\n0.2\n")
    file = tmp_path / "traced.yaml"
    file.write_text(
        "duration: 1s\nservices: {s: {}}\nload: [{to: s, arrivals: {trace: {file: arrivals.csv}}}]\n"
    )
    assert ms.run(ms.load(file), overrides=["seed=3"]).summary["requests"]["offered"] == 2


def test_a_balancer_that_picks_nothing_is_told() -> None:
    class Nobody(ms.Balancer):
        def pick(self, hosts, key, now):
            return None

    with pytest.raises(MeshsimError, match=r"Nobody\.pick must return one of its hosts"):
        ms.run(scenario(), balancers={"s": Nobody})
    with pytest.raises(MeshsimError, match="give the class, not an object"):
        ms.run(scenario(), balancers={"s": Nobody()})
    with pytest.raises(MeshsimError, match="no service 'z'"):
        ms.Simulation(scenario(), balancers={"z": Nobody})
