import json
import math

import numpy as np
import pytest

import meshsim as ms
from meshsim.measure import parts
from meshsim.measure.summary import summarise
from meshsim.scenario.model import Scenario

KEYS = {
    "scenario", "engine", "seed", "version", "duration", "measured", "requests", "latency", "ok_latency",
    "attempts", "failures", "services", "edges", "objectives", "ci",
    "replications", "partial", "unstable", "notes", "warmup",
}  # fmt: skip
LATENCY = {"mean", "p50", "p90", "p95", "p99", "p999", "max"}


@pytest.fixture
def storm(make_scenario, make_records):
    """1000 requests in 100 s: every 4th fails after 3 tries, the very last has no answer."""
    scenario = make_scenario(
        objectives=[{"service": "api", "p99": "250ms"}, {"service": "api", "success": "70%"}]
    )
    number = np.arange(1000)
    bad = number % 4 == 0
    latency = np.where(bad, 0.6, 0.1)
    latency[-1] = math.nan
    record = make_records(
        scenario, number * 0.1, latency, status=np.where(bad, 504, 200),
        flag=np.where(bad, "URX,UT", ""), tries=np.where(bad, 3, 1), queued=1.5, complete=False, end=200.0,
    )  # fmt: skip
    return scenario, record


def test_keys_are_the_contracts(storm) -> None:
    scenario, record = storm
    summary = summarise([record], scenario).as_dict()
    assert set(summary) == KEYS
    assert set(summary["latency"]) == set(summary["ok_latency"]) == LATENCY
    assert {"offered", "completed", "ok", "failed", "rate", "goodput", "success_ratio", "unfinished"} == set(
        summary["requests"]
    )
    assert {"total", "retries", "hedges", "amplification"} == set(summary["attempts"])
    service = summary["services"]["api"]
    assert set(service) >= {
        "requests", "ok", "failed", "rate", "utilisation", "queue_mean", "latency", "versions", "replicas",
    }  # fmt: skip
    assert set(summary["edges"]["client -> api"]) >= {"requests", "attempts", "retries", "latency", "flags"}
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_counts_and_rates(storm) -> None:
    scenario, record = storm
    summary = summarise([record], scenario).as_dict()
    requests = summary["requests"]
    assert requests["offered"] == 900 == requests["completed"] + requests["unfinished"]
    assert requests["completed"] == 899 == requests["ok"] + requests["failed"]
    assert requests["failed"] == 225
    assert requests["rate"] == pytest.approx(10.0)
    assert requests["goodput"] == pytest.approx(674 / 90)
    assert requests["success_ratio"] == pytest.approx(674 / 899)
    assert summary["failures"] == {"URX,UT": 225}
    assert summary["attempts"] == {
        "total": 900 + 2 * 225, "retries": 450, "hedges": 0, "amplification": pytest.approx(1.5),
    }  # fmt: skip
    assert summary["latency"]["max"] == pytest.approx(0.6)
    assert summary["ok_latency"]["max"] == pytest.approx(0.1)
    assert any("1 of 900 requests had no answer" in note for note in summary["notes"])


def test_services_follow_their_attempts_and_the_clock(storm) -> None:
    scenario, record = storm
    service = summarise([record], scenario).as_dict()["services"]["api"]
    assert (
        service["requests"]
        == 1350
        == service["ok"] + service["failed"] + service["dropped"] + service["unfinished"]
    )
    assert service["rate"] == pytest.approx(15.0)
    assert service["utilisation"] == pytest.approx(2 * 0.5 / 8)
    assert service["busy_mean"] == pytest.approx(1.0)
    assert service["queue_mean"] == pytest.approx(3.0)
    assert [replica["id"] for replica in service["replicas"]] == ["api/0", "api/1"]
    assert sum(replica["requests"] for replica in service["replicas"]) == 1350
    assert service["replicas"][1]["utilisation"] == pytest.approx(0.5 / 4)
    assert service["versions"] == {}


def test_edges_count_calls_and_tries(storm) -> None:
    scenario, record = storm
    edge = summarise([record], scenario).as_dict()["edges"]["client -> api"]
    assert (edge["requests"], edge["attempts"], edge["retries"]) == (900, 1350, 450)
    assert edge["flags"] == {"URX,UT": 225}
    assert edge["latency"]["mean"] == pytest.approx((225 * 0.6 + 674 * 0.1) / 899)


def test_versions_and_unlimited_workers(make_scenario, make_records) -> None:
    api = {"workers": "unlimited", "versions": {"v1": {"replicas": 3}, "v2": {"replicas": 1, "workers": 2}}}
    scenario = make_scenario(api=api)
    record = make_records(scenario, np.arange(0, 100, 0.25))
    service = summarise([record], scenario).as_dict()["services"]["api"]
    assert service["utilisation"] is None
    assert service["versions"]["v1"]["utilisation"] is None
    assert service["versions"]["v2"]["utilisation"] == pytest.approx(0.25)
    assert service["versions"]["v1"]["requests"] == 270
    assert [replica["id"] for replica in service["replicas"]] == [
        "api/v1/0",
        "api/v1/1",
        "api/v1/2",
        "api/v2/0",
    ]
    assert {replica["version"] for replica in service["replicas"]} == {"v1", "v2"}


def test_a_failure_without_a_flag_is_named_by_its_status(make_scenario, make_records) -> None:
    scenario = make_scenario()
    start = np.arange(0.0, 100.0)
    status = np.where(start % 2 == 0, 503, 500)
    summary = summarise([make_records(scenario, start, status=status)], scenario).as_dict()
    assert summary["failures"] == {"500": 45, "503": 45}
    assert summary["requests"]["success_ratio"] == 0.0
    assert set(summary["ok_latency"].values()) == {None}


def test_nothing_offered_is_nothing_wrong(make_scenario, make_records) -> None:
    scenario = make_scenario()
    summary = summarise([make_records(scenario, [])], scenario).as_dict()
    assert summary["requests"]["offered"] == 0
    assert summary["requests"]["success_ratio"] is None
    assert summary["attempts"]["amplification"] is None
    assert not summary["unstable"]
    json.dumps(summary, allow_nan=False)


def test_replications_are_pooled_and_have_intervals(make_scenario, make_records) -> None:
    scenario = make_scenario()
    start = np.arange(0.0, 100.0, 0.1)
    records = [make_records(scenario, start, 0.1 + 0.01 * seed, seed=seed) for seed in range(3)]
    summary = summarise(records, scenario).as_dict()
    assert summary["replications"] == 3
    assert summary["requests"]["offered"] == 2700
    assert summary["requests"]["rate"] == pytest.approx(10.0)
    assert summary["services"]["api"]["utilisation"] == pytest.approx(0.125)
    assert summary["latency"]["mean"] == pytest.approx(0.11)
    mean = summary["ci"]["latency.mean"]
    assert mean["mean"] == pytest.approx(0.11)
    assert mean["half_width"] == pytest.approx(4.30265 * 0.01 / math.sqrt(3), rel=1e-5)
    assert (mean["confidence"], mean["replications"]) == (0.95, 3)
    assert summary["ci"]["services.api.utilisation"]["half_width"] == pytest.approx(0.0, abs=1e-12)
    assert summarise(records[:1], scenario).as_dict()["ci"] == {}


def test_an_interrupted_run_is_measured_as_far_as_it_came(make_scenario, make_records) -> None:
    scenario = make_scenario()
    start = np.arange(0.0, 55.0, 0.1)
    record = make_records(scenario, start, end=55.25, complete=False, interrupted=True)
    summary = summarise([record], scenario).as_dict()
    assert summary["partial"]
    assert not summary["unstable"]
    assert summary["duration"] == 100.0
    assert summary["measured"] == pytest.approx(45.0)
    assert summary["requests"]["rate"] == pytest.approx(10.0)
    assert any(note.startswith("Interrupted: 45 s of 90 s") for note in summary["notes"])


def test_an_interruption_in_the_warmup_measures_nothing(make_scenario, make_records) -> None:
    scenario = make_scenario()
    record = make_records(scenario, np.arange(0.0, 3.0, 0.1), end=3.0, complete=False)
    summary = summarise([record], scenario).as_dict()
    assert (summary["partial"], summary["measured"], summary["requests"]["offered"]) == (True, 0.0, 0)
    json.dumps(summary, allow_nan=False)


def test_auto_warmup_moves_the_window(make_scenario, make_records) -> None:
    scenario = make_scenario(warmup="auto")
    start = np.arange(0.0, 100.0, 0.02)
    noise = np.random.default_rng(5).exponential(0.1, len(start))
    summary = summarise(
        [make_records(scenario, start, noise + 3.0 * np.exp(-start / 3.0))], scenario
    ).as_dict()
    assert 5.0 < summary["warmup"] < 50.0
    assert summary["measured"] == pytest.approx(100.0 - summary["warmup"])
    assert summary["requests"]["offered"] == pytest.approx(50 * summary["measured"], abs=1)
    assert summary["services"]["api"]["busy_mean"] == pytest.approx(1.0)


def test_of_many_services_the_workers_are_counted_once_not_once_a_service(monkeypatch) -> None:
    counted, asked = parts.workers, []

    def workers(*of):
        asked.append(of)
        return counted(*of)

    monkeypatch.setattr(parts, "workers", workers)
    services = {f"s{number}": {} for number in range(20)}
    ms.run(
        Scenario.model_validate(
            {"duration": "1s", "services": services, "load": [{"to": "s0", "rate": "5/s"}]}
        )
    )
    assert len(asked) == 1
