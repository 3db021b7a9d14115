"""Endpoints and repeated calls in theory: numbers by hand, and what no formula knows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from extra import EXTRA, mixed
from readings import Document
from test_recognise import TEN, reason, solved, value

EXP5, EXP20 = {"exponential": "5ms"}, {"exponential": "20ms"}


def test_all_endpoints_of_a_queue_wait_alike_and_each_has_its_own_service() -> None:
    """E[S] = 0.7 * 5 + 0.3 * 20 = 9.5 ms, E[S²] = 0.7 * 50 + 0.3 * 800 = 275 ms²: wait 22 / 0.48 ms."""
    found = solved(EXTRA["endpoints_of_a_queue"].document)
    wait = 0.08 * 275.0 / (2.0 * (1.0 - 0.76)) / 1e3
    assert value(found, "services.x.utilisation") == pytest.approx(0.76)
    assert value(found, "derived.services.x.wait_mean") == pytest.approx(wait)
    for endpoint, time, rate in (("get", 0.005, 56.0), ("add", 0.02, 24.0)):
        assert value(found, f"services.x.endpoints.{endpoint}.rate") == pytest.approx(rate)
        for path in ("services.x", "edges.client -> x"):
            mean = value(found, f"{path}.endpoints.{endpoint}.latency.mean")
            assert mean == pytest.approx(wait + time)
    assert value(found, "latency.mean") == pytest.approx(wait + 0.0095)


def test_repeated_calls_end_with_the_first_that_fails() -> None:
    """Of up to 3 calls that fail one time in ten, 1 + 0.9 + 0.81 are made, 10 ms each."""

    def of(**step: Any) -> Document:
        services = {
            "a": {"script": [{"call": "b", "repeat": 3, **step}]},
            "b": {"time": "10ms", "errors": 0.1},
        }
        return {"services": services, "load": [{"to": "a", "rate": "100/s"}]}

    for step, calls, success in (
        ({}, 2.71, 0.729),
        ({"optional": True}, 3.0, 1.0),
        ({"probability": 0.5}, 1.355, 0.8645),
    ):
        found = solved(of(**step))
        assert value(found, "services.b.rate") == pytest.approx(100.0 * calls)
        assert value(found, "latency.mean") == pytest.approx(0.01 * calls)
        assert value(found, "requests.success_ratio") == pytest.approx(success)


def test_what_one_endpoint_does_does_not_touch_another() -> None:
    endpoints = {"get": {"time": EXP5}, "add": {"time": EXP20, "errors": 0.5}}
    policies = {"x/add": {"retries": {"attempts": 1, "backoff": {"base": 0}}}}
    found = solved({**mixed(endpoints, 100.0, {"get": 1, "add": 1}), "policies": policies})
    assert value(found, "edges.client -> x.endpoints.get.latency.mean") == pytest.approx(0.005)
    assert value(found, "edges.client -> x.endpoints.add.latency.mean") == pytest.approx(0.03)
    assert value(found, "derived.edges.client -> x.endpoints.add.tries") == pytest.approx(1.5)
    assert value(found, "derived.edges.client -> x.tries") == pytest.approx(1.25)
    assert found.get("derived.edges.client -> x.endpoints.get.tries") is None
    assert value(found, "requests.success_ratio") == pytest.approx(0.875)


def test_equal_endpoints_are_as_none() -> None:
    plain = solved({"services": {"x": {"time": TEN, "workers": 2}}, "load": [{"to": "x", "rate": "150/s"}]})
    mix = solved(mixed({"get": {}, "add": {"method": "POST"}}, 150.0, {"get": 1, "add": 2}, workers=2))
    for each in plain.predictions:
        assert value(mix, each.metric) == pytest.approx(each.value)
    assert mix.get("services.x.endpoints.add.rate") is not None


def test_what_makes_endpoints_depend_on_each_other_is_not_exact() -> None:
    mix: Any = ({"get": {"time": EXP5}, "add": {"time": EXP20}}, 80.0, {"get": 7, "add": 3})
    urgent = {"to": "x", "rate": "5/s", "priority": 1, "endpoints": {"get": 1}}
    first = mixed(*mix, workers=1, discipline="priority")
    found = solved({**first, "load": [*first["load"], urgent]})
    reason(found, "x: who is served first depends on the load, and so does what they ask for")
    assert found.get("latency.mean") is None
    retried = {"policies": {"x/get": {"retries": {"attempts": 1, "per_try_timeout": "30ms"}}}}
    assert all(each.kind != "exact" for each in solved({**mixed(*mix, workers=1), **retried}).predictions[1:])
    constant = mixed(*mix, workers=1)
    constant["load"][0]["arrivals"] = "constant"
    assert solved(constant).get("latency.mean").kind == "approx"  # type: ignore[union-attr]


def test_what_no_formula_knows_is_named_in_one_line() -> None:
    policy = {"retries": {"attempts": 1, "previous_hosts": True}}
    found = solved({**mixed({"get": {}, "add": {}, "unused": {}}, 80.0, {"get": 1, "add": 1}),
                    "policies": {"x/get": policy, "x/add": policy, "x/unused": policy}})  # fmt: skip
    keys = [f"policies.x/{name}.retries.previous_hosts" for name in ("get", "add")]
    assert found.reasons == [f"no formula here takes into account: {', '.join(keys)}"]
    assert not found.predictions
