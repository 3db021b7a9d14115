"""Access rules in a run, worked out by hand from docs/background/model.md, for engine and reference."""

from __future__ import annotations

from typing import Any

import pytest

from meshsim import engine, reference
from meshsim.measure.records import Records
from meshsim.measure.summary import summarise
from meshsim.scenario.model import Scenario

Part = dict[str, Any]
MTLS = {"dataplane": "sidecar", "mtls": {"round_trips": 0}}


def scene(*times: float, **parts: Any) -> Scenario:
    """The client asks `a`, which asks `b/get` and `b/put`; each works 10 ms, links take 1 ms."""
    calls = [{"call": "b/get"}, {"call": "b/put", "optional": True}]
    raw = {
        "duration": "10s",
        "services": {
            "a": {"time": "10ms", "script": calls},
            "b": {"time": "10ms", "endpoints": {"get": {}, "put": {"method": "PUT", "path": "/b"}}},
        },
        "mesh": MTLS,
        "links": {"default": {"latency": "1ms"}},
        "load": [{"to": "a", "arrivals": {"trace": {"times": list(times)}}}],
        **parts,
    }
    return Scenario.model_validate(raw)


def run(scenario: Scenario, **options: Any) -> Records:
    found = engine.simulate(scenario, 1, **options)
    again = reference.simulate(scenario, 1, **options)
    assert isinstance(found, Records)
    assert isinstance(again, Records)
    assert requests(again) == requests(found)
    assert again.attempts.status.tolist() == found.attempts.status.tolist()
    return found


def requests(records: Records) -> list[tuple[float, int, str]]:
    """(latency in ms, status, flag) of each."""
    rows = records.requests
    return [
        (round((end - start) * 1e3, 6), int(status), str(flag))
        for start, end, status, flag in zip(rows.start, rows.end, rows.status, rows.flag, strict=True)
    ]


def allow(**match: Any) -> Part:
    return {"allow": match}


def test_denied_takes_the_place_of_the_work() -> None:
    """The client waits for the two ways; no worker is taken."""
    records = run(scene(1.0, access=[{"deny": {"to": "a"}}]))
    assert requests(records) == [(2.0, 403, "")]
    assert records.busy.sum() == 0.0
    assert records.attempts.status.tolist() == [403]


def test_it_passes_the_sidecar_both_ways_and_takes_no_place_in_the_queue() -> None:
    """One worker: the second request's way in comes before the first answer's way out."""
    parts: Part = {"mesh": MTLS | {"proxy": {"time": "2ms", "workers": 1}}, "access": [{"deny": {"to": "a"}}]}
    assert requests(run(scene(1.0, 1.0, **parts))) == [(8.0, 403, ""), (10.0, 403, "")]


def test_a_denied_child_fails_its_parent_unless_it_is_optional() -> None:
    get = allow(to="b", **{"from": "a"}, endpoints="get")
    put = allow(to="b", **{"from": "a"}, endpoints="put")
    assert requests(run(scene(1.0, access=[get, put]))) == [(36.0, 200, "")]
    assert requests(run(scene(1.0, access=[get]))) == [(26.0, 200, "")]
    assert requests(run(scene(1.0, access=[put]))) == [(14.0, 500, "")]


def test_rules_about_callers_need_mtls() -> None:
    rule = allow(to="b", **{"from": "a"})
    outside: Part = {"services": {"a": {"script": [{"call": "b"}], "sidecar": False}, "b": {}}}
    assert requests(run(scene(1.0, access=[rule], **outside)))[0][1] == 500
    assert requests(run(scene(1.0, access=[rule], mesh={"dataplane": "sidecar"})))[0][1] == 500
    assert requests(run(scene(1.0, access=[allow(to="b")], **outside)))[0][1] == 200


def test_a_pushed_rule_reaches_the_upstreams_proxies() -> None:
    deny = {"access": [{"deny": {"to": "a"}}]}
    events = [{"at": "2s", "set": deny}, {"at": "4s", "set": {"access": []}}]
    mesh = MTLS | {"push_delay": "500ms"}
    statuses = [
        status for _, status, _ in requests(run(scene(1, 2.2, 2.6, 4.4, 4.6, mesh=mesh, events=events)))
    ]
    assert statuses == [200, 200, 403, 403, 200]


def test_403_is_retried_by_its_status_alone_and_no_error_of_the_host() -> None:
    policy: Part = {"retries": {"attempts": 2, "on": ["5xx", "reset"], "backoff": {"base": "1ms"}}}
    access = [{"deny": {"to": "a"}}]
    assert len(run(scene(1.0, access=access, policies={"a": policy})).attempts.sent) == 1
    policy["retries"]["statuses"] = [403]
    assert len(run(scene(1.0, access=access, policies={"a": policy})).attempts.sent) == 3
    outliers: Part = {"outlier_detection": {"consecutive_5xx": 1, "max_ejection_percent": "100%"}}
    assert run(scene(1.0, 2.0, access=access, policies={"a": outliers})).ejections == []


def test_who_has_given_up_and_would_not_be_served_is_not_asked() -> None:
    """The time-out's word arrives while the request is in the sidecar: dropped, not denied."""
    mesh = MTLS | {"proxy": {"time": "100ms", "workers": 1}}
    for policy, status in (("leave_queue", -1), ("finish", -1)):
        services = {"a": {"time": "10ms", "when_abandoned": policy}}
        parts: Part = {"services": services, "policies": {"a": {"timeout": "20ms"}}, "mesh": mesh}
        records = run(scene(1.0, access=[{"deny": {"to": "a"}}], **parts))
        assert requests(records) == [(20.0, 504, "UT")]
        assert records.attempts.status.tolist() == [status]


@pytest.mark.parametrize("keep", ["records", "histograms"])
def test_what_is_denied_is_counted(keep: str) -> None:
    rule = allow(to="b", **{"from": "a"}, endpoints="get")
    scenario = scene(1.0, 2.0, 3.0, access=[rule], keep=keep)
    summary = summarise([engine.simulate(scenario, 1)], scenario)
    assert summary.services["b"].denied == 3
    assert summary.services["a"].denied == 0
    found = summary.services["b"].endpoints or {}
    assert {name: each.denied for name, each in found.items()} == {"get": 0, "put": 3}
    open_ = scene(1.0, keep=keep)
    assert "denied" not in summarise([engine.simulate(open_, 1)], open_).as_dict()["services"]["b"]
