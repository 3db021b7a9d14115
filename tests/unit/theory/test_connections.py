"""Connections in theory: solved where each attempt opens one in a constant time, else refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from meshsim.scenario.model import Scenario
from meshsim.theory import solve

OWN = {"connection": {"max_requests": 1}}


def lone(policy: dict[str, Any], connect: Any = "7ms", **more: Any) -> Scenario:
    document = {
        "duration": "10s",
        "services": {"x": {"time": "2ms"}},
        "load": [{"to": "x", "rate": "100/s"}],
        "links": {"default": {"latency": "1ms", "connect": connect}},
        "policies": {"x": policy},
    }
    return Scenario.model_validate({**document, **more})


def test_every_attempt_waits_for_its_connection() -> None:
    solution = solve(lone(OWN))
    assert solution.reasons == []
    latency = solution.get("latency.p99")
    assert latency is not None
    assert (latency.value, latency.kind) == (pytest.approx(0.011), "exact")


def test_the_time_out_of_a_try_starts_with_its_connection() -> None:
    kept = solve(lone({**OWN, "retries": {"attempts": 0, "per_try_timeout": "5ms"}})).get("latency.mean")
    cut = solve(lone({**OWN, "retries": {"attempts": 0, "per_try_timeout": "3ms"}})).get("latency.mean")
    assert kept is not None
    assert cut is not None
    assert kept.value == pytest.approx(0.011)
    assert cut.value == pytest.approx(0.010)


def test_connections_that_open_in_no_time_change_nothing() -> None:
    short = {"connect_timeout": "1ms", "idle_timeout": "1ms", "max_requests": 3, "max_age": "5ms"}
    plain, solution = solve(lone({}, "0s")), solve(lone({"connection": short}, "0s"))
    assert solution.reasons == []
    assert solution.predictions == plain.predictions


AGAIN = "connections are used again, so that a request's latency depends on the traffic before it"
NEVER = "no connection opens within its connect_timeout"
LEAVES = "an attempt may leave while its connection opens, which then serves another"
BREAKER = "the breaker counts connections that are being opened, which no formula here follows"


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({}, AGAIN),
        ({"connection": {"max_requests": 2}}, AGAIN),
        ({"connection": {"max_requests": 1, "connect_timeout": "7ms"}}, NEVER),
        ({**OWN, "circuit_breaker": {"max_pending": 5}}, BREAKER),
        ({**OWN, "timeout": "7ms"}, LEAVES),
        ({**OWN, "timeout": "60ms", "retries": {}}, LEAVES),
        ({**OWN, "hedge": {"after": "9ms"}}, LEAVES),
    ],
)  # fmt: skip
def test_other_connections_are_refused_by_name(policy: dict[str, Any], reason: str) -> None:
    solution = solve(lone(policy))
    assert solution.reasons == [f"client -> x: {reason}"]
    assert [prediction.metric for prediction in solution.predictions] == ["requests.rate"]


def test_endpoints_have_connections_in_common() -> None:
    services = {"x": {"time": "2ms", "endpoints": {"get": {}, "add": {"time": "5ms"}}}}
    load = [{"to": "x", "rate": "100/s", "endpoints": {"get": 1, "add": 1}}]
    plain = solve(lone(OWN, services=services, load=load))
    mean = plain.get("latency.mean")
    assert mean is not None
    assert (mean.value, mean.kind) == (pytest.approx(0.0125), "exact")
    policies = {"x": OWN, "x/add": {"timeout": "7ms"}}
    some = solve(lone({}, services=services, load=load, policies=policies))
    assert some.reasons == [f"client -> x/get: {LEAVES}"]


def test_random_connects_are_refused_by_name() -> None:
    random = "connections take random times to open: the first that is open serves who waited longest"
    assert solve(lone(OWN, {"exponential": "7ms"})).reasons == [f"client -> x: {random}"]


def test_the_upstreams_end_is_refused_by_name() -> None:
    kept = solve(lone(OWN, services={"x": {"keep_alive": "1s"}}))
    assert kept.reasons == ["no formula here takes into account: services.x.keep_alive"]


def test_a_balancer_sees_requests_only_once_they_have_a_connection() -> None:
    services = {"x": {"replicas": 2, "workers": 1, "time": {"exponential": "10ms"}}}
    late = solve(lone({**OWN, "balance": "least_request"}, services=services))
    assert late.reasons == ["x: the balancer sees the queues late"]
