"""Envoys as proxies: what is made of their access logs and counters."""

from __future__ import annotations

from typing import Any

import numpy as np

from meshsim.live.envoy import CallRow
from meshsim.live.envoys import call_rows, gauge, packed
from meshsim.live.merge import Ending, merge
from meshsim.live.stats import EdgeCounts
from meshsim.policies.outcome import flag_names
from meshsim.scenario.model import Scenario

SCENARIO = Scenario.model_validate(
    {
        "duration": "10s",
        "services": {"api": {"versions": {"v1": {}, "v2": {}}}},
        "load": [{"to": "api", "rate": "1/s"}],
    }
)


def call(**changes: Any) -> CallRow:
    told: dict[str, Any] = {
        "key": 11, "request_start": 1.0, "extra": False, "listener": "url api", "caller": "client",
        "service": "api", "start": 1.001, "end": 1.5, "status": 200, "flags": (), "attempts": 1,
        "replica": "api/v2/0", "details": "via_upstream", "request_id": "",
    }  # fmt: skip
    return CallRow(**{**told, **changes})


def rows(*calls: CallRow) -> dict[str, Any]:
    return call_rows(calls, {("client", "api"): 0}, {"api/v1/0": 0, "api/v2/0": 1})


def test_calls_of_a_log_are_rows_of_a_run() -> None:
    requests = {
        "requests.load": np.zeros(2), "requests.start": np.array([1.0, 2.0]),
        "requests.end": np.array([1.6, 2.6]), "requests.status": np.array([200, 504]),
        "requests.key": np.array([11, 12], dtype=np.uint64),
    }  # fmt: skip
    late = call(key=12, start=2.0, end=2.5, status=504, flags=("URX", "UT"), attempts=3, replica="")
    parts = {("load", "client/0"): requests, ("proxy", "client/0"): rows(late, call())}
    found = merge(SCENARIO, 7, "envoy", parts, Ending(10.0, True)).records
    assert found.requests.version.tolist() == ["v2", ""]
    assert found.requests.attempts.tolist() == [1, 3]
    assert found.requests.flag.tolist() == ["", "URX,UT"]
    assert found.calls.status.tolist() == [200, 504]


def test_a_call_whose_caller_has_left_is_cancelled() -> None:
    assert rows(call(status=0, flags=("DC",)))["calls.status"].tolist() == [-1]


def test_flags_that_no_scenario_raises_are_left_out() -> None:
    assert flag_names(packed(("URX", "UT"))) == "URX,UT"
    assert packed(("SI",)) == 0


def test_gauges_of_all_versions_of_a_service_add_up_and_those_of_others_do_not() -> None:
    counts = {"client -> api": EdgeCounts()}
    stats = {
        "cluster.api/v1.upstream_rq_active": 2,
        "cluster.api/v2.upstream_rq_active": 3,
        "cluster.api2.upstream_rq_active": 100,
        "cluster.api/v1.upstream_rq_pending_active": 1,
        "cluster.api/v1.outlier_detection.ejections_active": 1,
        "cluster.api/v1.outlier_detection.ejections_enforced_total": 4,
    }
    gauge(counts, "client", stats)
    found = counts["client -> api"]
    assert (found.active, found.pending, found.ejected, found.ejections) == (5, 1, 1, 4)
