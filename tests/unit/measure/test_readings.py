"""Numbers block by block are those of the summary."""

import numpy as np
import pytest

from meshsim.engine import simulate
from meshsim.measure.grid import Window
from meshsim.measure.readings import complete, readings
from meshsim.measure.summary import summarise
from meshsim.measure.window import measured
from meshsim.scenario import loads

SCENARIO = loads("""
name: everything
duration: 20s
warmup: 2s
services:
  web: {workers: 8, time: 2ms, script: [{call: log}, {call: api}]}
  log: {errors: 10%}
  api:
    errors: 30%
    versions: {v1: {replicas: 2, time: {exponential: 20ms}}, v2: {time: {exponential: 40ms}}}
policies:
  api:
    timeout: 90ms
    retries: {attempts: 2, on: [5xx]}
    hedge: {after: 60ms}
    outlier_detection: {consecutive_5xx: 3, interval: 1s, base_ejection_time: 1s, max_ejection_percent: 100%}
load: [{to: web, rate: 60/s}]
""")


@pytest.fixture(scope="module")
def run():
    records = simulate(SCENARIO, 3)
    return records, readings(records, measured([records], SCENARIO)), summarise([records], SCENARIO).as_dict()


def test_they_are_those_of_the_summary(run) -> None:
    records, found, summary = run
    for key in ("mean", "p50", "p90", "p95", "p99"):
        assert found[f"latency.{key}"].value() == pytest.approx(summary["latency"][key])
    requests = summary["requests"]
    assert found["requests.success_ratio"].value() == pytest.approx(requests["success_ratio"])
    assert found["requests.throughput"].value() == pytest.approx(requests["completed"] / 18)
    assert found["attempts.total"].value() == pytest.approx(summary["attempts"]["total"])
    assert found["attempts.amplification"].value() == pytest.approx(summary["attempts"]["amplification"])
    failures = {
        key.removeprefix("failures."): each.value() for key, each in found.items() if "failures" in key
    }
    assert failures == pytest.approx(summary["failures"])
    edge = summary["edges"]["web -> api"]
    for key in ("retries", "hedges"):
        assert found[f"edges.web -> api.{key}"].value() == pytest.approx(edge[key])
        assert edge[key] > 20
    for callee, kind in (("api", "flags"), ("log", "statuses")):
        prefix = f"edges.web -> {callee}.{kind}."
        told = {
            key.removeprefix(prefix): each.value() for key, each in found.items() if key.startswith(prefix)
        }
        assert told == pytest.approx(summary["edges"][f"web -> {callee}"][kind])
        assert told
    inside = [time for time, _, _ in records.ejections if 2 <= time < 20]
    assert found["edges.web -> api.ejections"].value() == pytest.approx(len(inside))
    assert len(inside) > 5


def test_shares_of_versions_add_up(run) -> None:
    _, found, summary = run
    shares = [found[f"services.api.versions.{version}.share"].value() for version in ("v1", "v2")]
    assert sum(shares) == pytest.approx(1.0)
    versions = summary["services"]["api"]["versions"]
    total = sum(each["requests"] for each in versions.values())
    assert shares[0] == pytest.approx(versions["v1"]["requests"] / total, abs=0.01)  # sent, but not arrived


def test_what_never_happened_is_counted_as_0(run) -> None:
    records, found, _ = run
    other = readings(records, Window(0.0, 0.05, 0, 1))
    mine = dict(found)
    complete(mine, other)
    assert set(mine) == set(other)
    assert other["edges.web -> api.ejections"].value() == 0.0
    assert np.isfinite(mine["edges.web -> api.ejections"].value())


def test_those_by_endpoint_are_those_of_the_summary() -> None:
    scenario = loads("""
duration: 20s
warmup: 2s
services:
  web: {endpoints: {home: {script: [{call: api/get, repeat: 2}]}, buy: {script: [{call: api/add}]}}}
  api: {time: 2ms, endpoints: {get: {}, add: {method: POST, errors: 40%}}}
policies: {api/add: {retries: {attempts: 1, on: [5xx]}}}
load: [{to: web, rate: 60/s, endpoints: {home: 70, buy: 30}}]
""")
    records = simulate(scenario, 3)
    summary = summarise([records], scenario).as_dict()["edges"]
    found = readings(records, measured([records], scenario))
    values = {name: each.value() for name, each in found.items() if ".endpoints." in name}
    expected = {
        f"edges.{edge}.endpoints.{endpoint}.{key}": numbers[key]
        for edge, numbers_by in ((name, each["endpoints"]) for name, each in summary.items())
        for endpoint, numbers in numbers_by.items()
        for key in ("requests", "failed", "retries")
        if numbers[key]
    }
    for endpoint in ("home", "buy"):
        mean = summary["client -> web"]["endpoints"][endpoint]["latency"]["mean"]
        expected[f"edges.client -> web.endpoints.{endpoint}.latency.mean"] = mean
    assert values == pytest.approx(expected)
    assert expected["edges.web -> api.endpoints.add.retries"] > 50
    assert "edges.web -> api.endpoints.get.retries" not in values
