"""mTLS in theory: a longer opening where that is constant, nothing at all where it costs nothing."""

from __future__ import annotations

from typing import Any

import pytest

from meshsim.scenario.model import Scenario
from meshsim.theory import solve

LINK = {"latency": "1ms", "connect": "7ms"}


def lone(mtls: dict[str, Any] | None, policy: Any = None, link: Any = None, **more: Any) -> Scenario:
    document = {
        "duration": "10s",
        "services": {"x": {"time": "2ms"}},
        "load": [{"to": "x", "rate": "100/s"}],
        "links": {"default": link or LINK},
        "mesh": {"dataplane": "sidecar", "mtls": mtls, "proxy": more.pop("proxy", {})},
        "policies": {"x": policy or {"connection": {"max_requests": 1}}},
    }
    return Scenario.model_validate({**document, **more})


@pytest.mark.parametrize(
    ("mtls", "mean"),
    [
        ({}, 0.011 + 0.002),
        ({"handshake": "3ms"}, 0.011 + 0.002 + 0.006),
        ({"handshake": "3ms", "round_trips": 2}, 0.011 + 0.004 + 0.006),
        ({"handshake": "3ms", "mode": "disable"}, 0.011),
    ],
)
def test_a_handshake_makes_every_opening_longer(mtls: dict[str, Any], mean: float) -> None:
    """The request's way, work and answer (4 ms), connect (7 ms), round trips of 2 ms, work at both sides."""
    solution = solve(lone(mtls))
    latency = solution.get("latency.mean")
    assert latency is not None, solution.reasons
    assert (latency.value, latency.kind) == (pytest.approx(mean), "exact")


def test_mtls_that_takes_no_time_changes_nothing() -> None:
    plain, solution = (solve(lone(mtls, {}, {"connect": "0s"})) for mtls in (None, {"round_trips": 0}))
    assert solution.reasons == []
    assert solution.predictions == plain.predictions


@pytest.mark.parametrize(
    ("mtls", "more", "reason"),
    [
        ({"handshake": {"exponential": "1ms"}}, {}, "client -> x: handshakes take random times"),
        (
            {"handshake": "1ms"},
            {"proxy": {"workers": 2}},
            "client -> x: handshakes take the workers of sidecars",
        ),
        ({}, {"policy": {"timeout": "1s"}}, "client -> x: connections are used again"),
        ({"rotate_at": 0.9, "jitter": 0.2}, {}, "certificates may expire before their renewal begins"),
        ({}, {"access": [{"deny": {"to": "x"}}]}, "client -> x: access rules deny it"),
        ({"certificate_ttl": "60s", "ca": {"time": "1ms"}}, {}, "certificates are renewed meanwhile"),
    ],
)
def test_what_is_not_the_same_for_all_is_refused(mtls: Any, more: dict[str, Any], reason: str) -> None:
    (found,) = solve(lone(mtls, **more)).reasons
    assert found.startswith(reason)


def test_rules_that_allow_every_call_change_nothing() -> None:
    access = [
        {"allow": {"to": "x", "from": "client"}},
        {"deny": {"to": "x", "not_from": ["cl*"], "paths": "/"}},
    ]
    plain, ruled = (solve(lone({"handshake": "3ms"}, access=rules)) for rules in ([], access))
    assert plain.predictions == ruled.predictions != []


def test_plaintext_to_a_strict_service_is_refused() -> None:
    services = {"x": {"script": [{"call": "y"}], "sidecar": False}, "y": {}}
    reasons = solve(lone({"mode": "strict"}, services=services)).reasons
    assert "x -> y: plaintext is refused by y, whose mode is strict" in reasons
