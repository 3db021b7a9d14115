"""The metrics of a simulated run: what its proxies' pages would say, from rows and from histograms alike."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter, defaultdict
from functools import cache
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from meshsim.lab.run import run
from meshsim.measure.grid import Floats
from meshsim.measure.records import Records
from meshsim.measure.telemetry import PROXYS_OWN, metrics_document, metrics_page
from meshsim.scenario.model import Scenario

POLICY = {
    "timeout": "60ms",
    "retries": {"attempts": 2, "on": ["5xx"], "backoff": {"base": "1ms"}},
    "circuit_breaker": {"max_requests": 6},
    "outlier_detection": {"consecutive_5xx": 3, "interval": "1s", "base_ejection_time": "2s"},
}
MESH: dict[str, Any] = {
    "duration": "20s",
    "warmup": "5s",
    "mesh": {"dataplane": "sidecar", "mtls": {"mode": "permissive"}},
    "services": {
        "frontend": {"time": "1ms", "script": [{"call": "cart"}, {"call": "old"}]},
        "cart": {
            "versions": {"v1": {"replicas": 2}, "v2": {}},
            "time": {"exponential": "15ms"},
            "errors": "20%",
        },
        "old": {"sidecar": False, "time": "1ms"},
    },
    "policies": {"cart": POLICY},
    "load": [{"to": "frontend", "rate": "100/s"}],
    "events": [{"at": "8s", "for": "4s", "replica": "cart/v1/0", "down": True}],
}
Key = tuple[str, ...]


@cache
def page(keep: str = "records") -> bytes:
    """Of the run."""
    found = run(Scenario.model_validate({**MESH, "keep": keep}))
    return metrics_page(found.records[0], found.scenario)


@cache
def records() -> Records:
    found = run(Scenario.model_validate(MESH)).records[0]
    assert isinstance(found, Records)
    return found


def samples(text: bytes, name: str, **labels: str) -> list[Sample]:
    families = text_string_to_metric_families(text.decode())
    return [
        sample
        for family in families
        for sample in family.samples
        if sample.name == name and all(sample.labels[key] == value for key, value in labels.items())
    ]


def summed(text: bytes, name: str, *by: str, **labels: str) -> dict[Key, float]:
    found: dict[Key, float] = defaultdict(float)
    for sample in samples(text, name, **labels):
        found[tuple(sample.labels.get(label, "") for label in by)] += sample.value
    return {key: value for key, value in found.items() if value}


def durations(caller: str, service: str) -> Floats:
    """Of the calls of an edge that ended, ms."""
    rows = records().calls
    lasted = (rows.end - rows.start)[rows.edge == records().edges.index((caller, service))]
    found: Floats = lasted[~np.isnan(lasted)] * 1e3
    return found


def test_at_the_source_each_call_is_counted_with_its_answer() -> None:
    rows = records().calls
    expected: Counter[Key] = Counter()
    for edge, status, flag, end in zip(rows.edge, rows.status, rows.flag, rows.end, strict=True):
        if not np.isnan(end):
            caller, service = records().edges[edge]
            expected[caller, service, str(max(status, 0)), flag or "-"] += 1
    by = "source_workload", "destination_workload", "response_code", "response_flags"
    found = summed(page(), "istio_requests_total", *by, reporter="source")
    assert found == expected
    assert {flags for *_, flags in found} >= {"-", "UT", "UO", "URX"}, "all kinds of answers are there"


def test_at_the_destination_each_try_is_counted_by_version_and_caller() -> None:
    found = summed(
        page(), "istio_requests_total", "destination_workload", "destination_version", "source_workload",
        reporter="destination",
    )  # fmt: skip
    assert set(found) == {
        ("frontend", "v1", "client"), ("cart", "v1", "frontend"), ("cart", "v2", "frontend"),
    }, "old has no sidecar to report"  # fmt: skip


def test_the_source_knows_which_version_has_answered() -> None:
    edge, rows = records().edges.index(("frontend", "cart")), records().calls
    expected = Counter(
        (version if version and not PROXYS_OWN & set(flag.split(",")) else "unknown", flag or "-")
        for of, version, flag, end in zip(rows.edge, rows.version, rows.flag, rows.end, strict=True)
        if of == edge and not np.isnan(end)
    )
    labels = {"reporter": "source", "destination_workload": "cart"}
    by = "destination_version", "response_flags"
    assert summed(page(), "istio_requests_total", *by, **labels) == expected
    assert {version for version, _ in expected} == {"v1", "v2", "unknown"}


def test_what_a_pod_that_is_gone_refuses_nobody_counts_there() -> None:
    plain = run(Scenario.model_validate({**MESH, "mesh": {"dataplane": "sidecar"}}))
    record, text = plain.records[0], metrics_page(plain.records[0], plain.scenario)
    assert isinstance(record, Records)
    rows = record.attempts
    lost = (rows.answered == rows.arrived) & (rows.status == 503)
    there = (rows.edge == record.edges.index(("frontend", "cart"))) & ~np.isnan(rows.answered)
    assert lost.sum() > 10
    cart = {"reporter": "destination", "destination_workload": "cart"}
    assert summed(text, "istio_requests_total", **cart) == {(): there.sum() - lost.sum()}
    assert set(summed(text, "istio_requests_total", "source_principal", **cart)) == {("unknown",)}


def test_principals_are_told_where_a_connection_has_proved_them() -> None:
    def principals(**labels: str) -> set[Key]:
        by = "source_principal", "destination_principal", "connection_security_policy"
        return set(summed(page(), "istio_requests_total", *by, **labels))

    frontend, cart = (f"spiffe://cluster.local/ns/default/sa/{name}" for name in ("frontend", "cart"))
    source, ok = {"reporter": "source", "source_workload": "frontend"}, {"response_flags": "-"}
    assert principals(**source, destination_workload="cart", **ok) == {(frontend, cart, "unknown")}
    assert principals(**source, response_flags="UO") == {("unknown", "unknown", "unknown")}
    assert principals(**source, destination_workload="old", **ok) == {("unknown", "unknown", "unknown")}
    assert principals(reporter="destination", destination_workload="cart") == {(frontend, cart, "mutual_tls")}


def test_durations_are_those_of_the_calls() -> None:
    lasted = durations("client", "frontend")
    of = {"reporter": "source", "source_workload": "client"}
    name = "istio_request_duration_milliseconds"
    assert summed(page(), f"{name}_sum", **of)[()] == pytest.approx(lasted.sum())
    for bound in (5.0, 25.0, 50.0, 100.0):
        below = summed(page(), f"{name}_bucket", **of, le=f"{bound:g}")
        assert below[()] == (lasted <= bound).sum()


def test_histograms_say_the_same_as_rows() -> None:
    """With the same codes, flags and versions; how long it took is known of all codes together."""
    kept = page("histograms")
    for reporter in ("source", "destination"):
        by = ["destination_workload", "destination_version", "response_code", "response_flags"]
        by += ["source_workload"] if reporter == "source" else []
        one, two = (summed(text, "istio_requests_total", *by, reporter=reporter) for text in (page(), kept))
        assert one == two
    name = "istio_request_duration_milliseconds"
    of = {"reporter": "source", "destination_workload": "frontend"}
    assert summed(kept, f"{name}_sum", **of)[()] == pytest.approx(summed(page(), f"{name}_sum", **of)[()])
    lasted = durations("client", "frontend")
    for sample in samples(kept, f"{name}_bucket", **of):  # buckets are half a per cent wide on each side
        bound = float(sample.labels["le"])
        assert (lasted <= 0.994 * bound).sum() <= sample.value <= (lasted <= 1.006 * bound).sum()
    for name in ("rq_total", "rq_retry", "outlier_detection_ejections_enforced_total"):
        found = [
            [line for line in text.decode().splitlines() if f"_{name}{{" in line] for text in (page(), kept)
        ]
        assert found[0] == found[1]
        assert found[0]


CALLED_OFF: dict[str, Any] = {
    **MESH,
    "services": {**MESH["services"], "frontend": {**MESH["services"]["frontend"], "when_abandoned": "stop"}},
    "policies": {"cart": {**POLICY, "timeout": "500ms"}, "frontend": {"timeout": "25ms"}},
    "events": [{"at": "8s", "for": "100ms", "service": "cart", "down": True}],
}
"""Both versions are gone for a while, and calls under way are cancelled, some after a try had failed."""


@pytest.mark.parametrize("keep", ["records", "histograms"])
def test_what_two_versions_did_alike_is_one_series(keep: str) -> None:
    found = run(Scenario.model_validate({**CALLED_OFF, "keep": keep}))
    text = metrics_page(found.records[0], found.scenario)
    lines = [line.rpartition(" ")[0] for line in text.decode().splitlines()]
    assert [series for series, times in Counter(lines).items() if times > 1] == []
    cart = {"reporter": "source", "destination_workload": "cart"}
    counted = summed(text, "istio_requests_total", "response_flags", "response_code", **cart)
    assert counted["URX,UF", "503"] > 1
    gone = summed(text, "istio_requests_total", "response_flags", reporter="source", response_code="0")
    assert set(gone) == {("DC",)}, "whoever is cancelled has gone, however many tries there were"
    assert gone["DC",] > 100


def named(sample: Sample) -> Key:
    name = sample.name.removesuffix("_total")  # which the parser adds to counters that lack it
    return name, *(f"{label}={value}" for label, value in sorted(sample.labels.items()))


def over_time() -> dict[Key, dict[float, float]]:
    """The values of each series of the run each 2 s, by when.

    NOTE: prometheus_client drops all but the first of a histogram's samples when it reads OpenMetrics.
    """
    text = b"".join(metrics_document(records(), Scenario.model_validate(MESH), 2.0, 1000.0)).decode()
    assert text.endswith("\n# EOF\n")
    found: dict[Key, dict[float, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert isinstance(sample.timestamp, float)
            at = 1000.0 * sample.timestamp  # the parser takes it for ms
            assert at - 1000.0 not in found[named(sample)]
            found[named(sample)][at - 1000.0] = sample.value
    return found


def test_over_time_counters_begin_at_0_and_end_as_on_the_page() -> None:
    found = over_time()
    last = 2.0 * np.ceil(records().end / 2.0)
    assert all(list(each) == list(np.arange(0.0, last + 1.0, 2.0)) for each in found.values())
    assert all(each[0.0] == 0.0 for each in found.values())
    assert all(sorted(each.values()) == list(each.values()) for each in found.values())
    on_page = {
        named(sample): sample.value
        for family in text_string_to_metric_families(page().decode())
        for sample in family.samples
    }
    assert {key: each[last] for key, each in found.items()} == pytest.approx(on_page)


def test_over_time_a_call_counts_from_when_it_ended() -> None:
    rows, edge = records().calls, records().edges.index(("frontend", "cart"))
    sums: dict[float, float] = defaultdict(float)
    for (name, *labels), each in over_time().items():
        if name == "istio_requests" and {"reporter=source", "destination_app=cart"} <= set(labels):
            for at, value in each.items():
                sums[at] += value
    assert sums[10.0] == ((rows.edge == edge) & (rows.end <= 10.0)).sum() > 0


def test_of_a_run_without_requests_there_is_a_page() -> None:
    quiet = run(
        Scenario.model_validate({**MESH, "load": [{"to": "frontend", "rate": "0.001/s"}], "events": []})
    )
    assert b"envoy_cluster_upstream_rq_total" in metrics_page(quiet.records[0], quiet.scenario)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool (Debian: prometheus)")
@pytest.mark.parametrize("keep", ["records", "histograms"])
def test_promtool_accepts_it(keep: str) -> None:
    """It has complaints about names, which are Istio's and Envoy's: those are no errors."""
    found = subprocess.run(
        ["promtool", "check", "metrics"], input=page(keep), capture_output=True, check=False
    )
    assert found.returncode in (0, 3), found.stderr
    assert b"error while linting" not in found.stderr
