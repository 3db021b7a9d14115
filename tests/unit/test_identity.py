"""Timelines of identity, worked out by hand from docs/background/model.md.

The stage of `tests.unit.test_timelines`: `a` works 10 ms, over a link of 1 ms each way: 12 ms with a
connection. A handshake takes 6: a way of 1 ms, 2 of work there, the way back, and 2 of work at the client.
"""

from __future__ import annotations

from typing import Any

import pytest

from meshsim import random
from meshsim.measure.records import Records
from meshsim.measure.summary import summarise
from meshsim.scenario.model import Scenario
from tests.unit.test_timelines import Part, Simulate, check, ms, retries, scene, simulate, trace

__all__ = ["simulate"]

OK, NEW = (12, 200, "", 1), (18, 200, "", 1)
"""A request with a connection, and one that opens it."""
ANEW: Part = {"connection": {"max_requests": 1}}
"""A policy with a connection for each request."""


def secured(*milliseconds: float, mtls: Part | None = None, **parts: Any) -> Scenario:
    """The stage with mTLS."""
    mesh = {"dataplane": "sidecar", **parts.pop("mesh", {})}
    settings = {"mode": "strict", "handshake": "2ms", "jitter": 0.0, **(mtls or {})}
    return scene(*milliseconds, mesh={**mesh, "mtls": settings}, **parts)


def ca(since: float, until: float, **effect: Any) -> Part:
    return {"at": ms(since), "for": ms(until - since), "component": "ca", **(effect or {"down": True})}


def counts(records: Records, scenario: Scenario, edge: str = "client -> a") -> dict[str, int]:
    """What became of an edge's connections, without what did not happen."""
    found = summarise([records], scenario).edges[edge].connections
    return {key: value for key, value in vars(found).items() if value}


@pytest.mark.parametrize(
    ("mtls", "first"),
    [({}, 18), ({"round_trips": 2}, 20), ({"handshake": "0s"}, 14), ({"round_trips": 0}, 16)],
)
def test_a_handshake_is_for_the_first_request_alone(simulate: Simulate, mtls: Part, first: float) -> None:
    scenario = secured(0, 100, mtls=mtls)
    records = simulate(scenario)
    check(records, [(first, 200, "", 1), OK])
    assert counts(records, scenario) == {"opened": 1, "secured": 1}


def test_handshakes_wait_for_the_workers_of_the_upstreams_sidecar(simulate: Simulate) -> None:
    """The second comes at 1 ms too, and its work begins at 3."""
    check(simulate(secured(0, 0, mesh={"proxy": {"workers": 1}})), [NEW, (20, 200, "", 1)])


@pytest.mark.parametrize(("limit", "latency"), [(0.5, 0.5), (2, 2), (5, 5), (6, 6)])
def test_the_connect_timeout_covers_the_handshake(simulate: Simulate, limit: float, latency: float) -> None:
    policy = {"connection": {"connect_timeout": ms(limit)}}
    check(simulate(secured(0, policy=policy)), [(latency, 503, "UF", 1)])


def test_a_connect_timeout_that_is_long_enough_does_nothing(simulate: Simulate) -> None:
    check(simulate(secured(0, policy={"connection": {"connect_timeout": "6.1ms"}})), [NEW])


def test_an_expired_certificate_opens_no_connection_and_ends_none(simulate: Simulate) -> None:
    """Those of time 0 are valid until 50 ms; the CA is away. The request at 30 keeps its connection."""
    events = [ca(0, 900)]
    mtls = {"certificate_ttl": "50ms"}
    scenario = secured(30, 55, 300, mtls=mtls, events=events)
    check(simulate(scenario), [NEW, OK, OK])
    scenario = secured(30, 55, mtls=mtls, events=events, policy=ANEW)
    records = simulate(scenario)
    check(records, [NEW, (6, 503, "UF", 1)])
    assert counts(records, scenario) == {
        "opened": 1, "secured": 1, "max_requests": 1, "failed": 1, "untrusted": 1,
    }  # fmt: skip


def test_what_the_upstream_does_not_accept_fails_with_the_first_request(simulate: Simulate) -> None:
    """`a` has a certificate of 20 ms, the client one of 0: at 58 the client's alone has expired."""
    events = [{"at": "10ms", "for": "10ms", "replica": "a/0", "down": True}, ca(22, 900)]
    scenario = secured(52, mtls={"certificate_ttl": "50ms"}, events=events)
    records = simulate(scenario)
    check(records, [(8, 503, "UC", 1)])
    assert counts(records, scenario) == {"opened": 1, "rejected": 1, "broken": 1}


@pytest.mark.parametrize(("at", "expected"), [(43.9, NEW), (44, (6, 503, "UF", 1))])
def test_a_certificate_is_valid_before_its_end(simulate: Simulate, at: float, expected: Any) -> None:
    """Both look 6 ms later; it ends at 50."""
    check(simulate(secured(at, mtls={"certificate_ttl": "50ms"}, events=[ca(0, 900)])), [expected])


def test_a_ca_that_is_too_slow_lets_certificates_expire(simulate: Simulate) -> None:
    """Its one worker is with the client from 50 to 120 ms, then till 190 with `a`, which expires at 100."""
    mtls = {"certificate_ttl": "100ms", "ca": {"time": "70ms", "workers": 1}}
    check(simulate(secured(110, 200, mtls=mtls)), [(6, 503, "UF", 1), NEW])


def test_renewals_wait_for_the_ca_in_order(simulate: Simulate) -> None:
    """Both begin at 25 ms; the CA takes 10 for each. From then on each has its own time."""
    mtls = {"certificate_ttl": "50ms", "ca": {"time": "10ms", "workers": 1}}
    records = simulate(secured(0, 80, mtls=mtls, duration="81ms"))
    signed = [(round(1000 * at), proxy, what) for at, proxy, what in records.certificates or ()]
    assert signed[:4] == [(35, 0, "signed"), (45, 1, "signed"), (70, 0, "signed"), (80, 1, "signed")]


def test_a_ca_that_goes_down_refuses_what_it_holds(simulate: Simulate) -> None:
    """It is away from 30 to 31 ms; a refused proxy comes again within 5 ms."""
    retry = {"base": "5ms", "max": "5ms"}
    mtls = {"certificate_ttl": "50ms", "ca": {"time": "10ms", "workers": 1, "retry": retry}}
    records = simulate(secured(0, 40, mtls=mtls, events=[ca(30, 31)], duration="45ms"))
    found = [(proxy, what) for _, proxy, what in records.certificates or ()]
    assert found[:2] == [(0, "refused"), (1, "refused")]
    assert {"signed"} <= {what for _, what in found[2:]}


@pytest.mark.parametrize(
    ("overlap", "expected"), [(0, (6, 503, "UF", 1)), (15, (6, 503, "UF", 1)), (40, NEW)]
)
def test_a_new_root_is_trusted_by_who_has_it(simulate: Simulate, overlap: float, expected: Any) -> None:
    """Rotated at 30 ms. Certificates are renewed at 50: until then they are of the old root."""
    events = [{"at": "30ms", "component": "ca", "rotate_root": True, "overlap": ms(overlap)}]
    scenario = secured(40, 60, mtls={"certificate_ttl": "100ms"}, events=events, policy=ANEW)
    check(simulate(scenario), [expected, NEW])


def test_a_restarted_replica_waits_for_its_certificate(simulate: Simulate) -> None:
    """It would be up at 20 ms; the CA is away until 100, and `a` asks again at most 20 ms later."""
    events = [{"at": "10ms", "for": "10ms", "replica": "a/0", "down": True}, ca(0, 100)]
    mtls = {"ca": {"retry": {"base": "20ms", "max": "20ms"}}}
    check(simulate(secured(30, 99, 121, mtls=mtls, events=events)), [(0, 503, "UF", 1)] * 2 + [NEW])


def test_an_outage_that_begins_before_the_certificate_ends_the_asking(simulate: Simulate) -> None:
    events = [
        {"at": "10ms", "for": "10ms", "replica": "a/0", "down": True},
        {"at": "30ms", "for": "20ms", "replica": "a/0", "down": True},
    ]
    mtls = {"ca": {"time": "15ms", "workers": 1}}
    check(simulate(secured(60, 66, mtls=mtls, events=events)), [(0, 503, "UF", 1), NEW])


def test_what_the_ca_works_on_in_vain_keeps_its_worker(simulate: Simulate) -> None:
    """From 20 to 50 ms for the first asking, though that ended at 30; then from 50 to 80."""
    events = [
        {"at": "10ms", "for": "10ms", "replica": "a/0", "down": True},
        {"at": "30ms", "for": "5ms", "replica": "a/0", "down": True},
    ]
    mtls = {"ca": {"time": "30ms", "workers": 1}}
    check(simulate(secured(79, 81, mtls=mtls, events=events)), [(0, 503, "UF", 1), NEW])


def test_plaintext_to_a_strict_service_fails_when_it_arrives(simulate: Simulate) -> None:
    """1 ms to `b`, which calls `a`: there after 1 ms, the word back after another; 1 ms back."""
    others = {"b": {"sidecar": False, "script": [{"call": "a"}]}}
    scenario = secured(load=[{**trace(0, 50), "to": "b"}], others=others)
    records = simulate(scenario)
    check(records, [(4, 500, "", 1)] * 2)
    assert counts(records, scenario, "b -> a") == {"opened": 2, "rejected": 2, "broken": 2}


def test_a_strict_replica_that_is_down_rejects_nobody(simulate: Simulate) -> None:
    """It is gone before the request is there, after 2 ms: the connection is broken, as any other would be."""
    others = {"b": {"sidecar": False, "script": [{"call": "a"}]}}
    down = {"at": ms(1.5), "for": "10ms", "service": "a", "down": True}
    scenario = secured(load=[{**trace(0), "to": "b"}], others=others, events=[down])
    records = simulate(scenario)
    check(records, [(4, 500, "", 1)])
    assert counts(records, scenario, "b -> a") == {"opened": 1, "broken": 1}


@pytest.mark.parametrize(("mode", "expected"), [("permissive", 14), ("disable", 14)])
def test_plaintext_elsewhere_is_served(simulate: Simulate, mode: str, expected: float) -> None:
    others = {"b": {"sidecar": False, "script": [{"call": "a"}]}}
    scenario = secured(load=[{**trace(0), "to": "b"}], others=others, mtls={"mode": mode})
    check(simulate(scenario), [(expected, 200, "", 1)])


def test_callers_do_not_use_mtls_where_it_is_disabled(simulate: Simulate) -> None:
    check(simulate(secured(0, a={"mtls": "disable"})), [OK])


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("disable", "strict", [OK, NEW, OK]),
        ("strict", "disable", [NEW, OK, OK]),
        ("permissive", "strict", [NEW, OK, OK]),
    ],
)
def test_a_pushed_mode_has_callers_open_new_connections(
    simulate: Simulate, before: str, after: str, expected: Any
) -> None:
    events = [{"at": "50ms", "set": {"services.a.mtls": after}}]
    check(simulate(secured(0, 100, 150, a={"mtls": before}, events=events)), expected)


def test_a_connection_without_mtls_outlives_a_push_until_its_next_request(simulate: Simulate) -> None:
    others = {"b": {"sidecar": False, "script": [{"call": "a"}]}}
    events = [{"at": "50ms", "set": {"mesh.mtls.mode": "strict"}}]
    scenario = secured(
        load=[{**trace(0, 100), "to": "b"}], others=others, mtls={"mode": "permissive"}, events=events
    )
    check(simulate(scenario), [(14, 200, "", 1), (4, 500, "", 1)])


def test_what_waits_at_the_ca_in_vain_leaves(simulate: Simulate) -> None:
    """The client's renewal is worked on from 20 to 50 ms; what `a` asked for at 25 leaves at 30.

    It asks anew at 35, and has its certificate at 80.
    """
    events = [
        {"at": "10ms", "for": "15ms", "replica": "a/0", "down": True},
        {"at": "30ms", "for": "5ms", "replica": "a/0", "down": True},
    ]
    mtls = {"certificate_ttl": "100ms", "rotate_at": 0.2, "ca": {"time": "30ms", "workers": 1}}
    check(simulate(secured(79, 81, mtls=mtls, events=events)), [(0, 503, "UF", 1), NEW])


def delays(seed: int) -> list[float]:
    """How long the push of event 0 takes to the client, and to `a`, ms; 200 on average."""
    proxies = random.derive(seed, random.PROXIES)
    keys = [random.derive(random.derive(proxies, number), random.PUSHES) for number in (0, 1)]
    return [1000 * random.Exponential(0.2).draw(random.derive(key, 0), random.PUSH) for key in keys]


def test_an_upstream_that_has_heard_of_a_push_first_knows_no_tls(simulate: Simulate) -> None:
    """The client's first message goes there and back, and is not understood."""
    seed = next(seed for seed in range(100) if delays(seed)[1] + 100 < delays(seed)[0])
    events = [{"at": "100ms", "set": {"mesh.mtls.mode": "disable"}}]
    mesh = {"push_delay": {"exponential": "200ms"}}
    scenario = secured(150 + delays(seed)[1], mesh=mesh, events=events, seed=seed)
    records = simulate(scenario)
    check(records, [(2, 503, "UF", 1)])
    assert counts(records, scenario) == {"failed": 1, "untrusted": 1}


def test_what_fails_without_taking_time_fails_in_an_event_of_its_own(simulate: Simulate) -> None:
    mtls = {"certificate_ttl": "100ms", "handshake": "0s", "round_trips": 0}
    scenario = secured(200, mtls=mtls, events=[ca(0, 900)], policy=retries(3, on=["5xx"]))
    records = simulate(scenario)
    check(records, [(0, 503, "URX,UF", 4)])
    assert counts(records, scenario) == {"failed": 4, "untrusted": 4}


@pytest.mark.parametrize("at", [0.5, 2, 3.5, 5])
def test_an_upstream_that_goes_down_fails_the_handshake(simulate: Simulate, at: float) -> None:
    """In its pass at once; else when the message is there; or at the end, as it has no certificate then."""
    latency = {0.5: 1, 2: 2, 3.5: 4, 5: 6}[at]
    events = [{"at": ms(at), "for": "100ms", "replica": "a/0", "down": True}]
    check(simulate(secured(0, events=events)), [(latency, 503, "UF", 1)])


def test_a_caller_that_goes_down_leaves_its_handshakes(simulate: Simulate) -> None:
    """`b` goes down at 12 ms, in its pass for `a` (11 to 13); up again, it opens anew."""
    others = {"b": {"script": [{"call": "a"}]}}
    events = [{"at": "12ms", "for": "20ms", "replica": "b/0", "down": True}]
    scenario = secured(load=[{**trace(0, 50), "to": "b"}], others=others, events=events)
    records = simulate(scenario)
    first, second = zip(records.requests.status.tolist(), records.requests.flag.tolist(), strict=True)
    assert (first, second) == ((503, "UC"), (200, ""))
    assert counts(records, scenario, "b -> a") == {"opened": 1, "failed": 1, "secured": 1}
