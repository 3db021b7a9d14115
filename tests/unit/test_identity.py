"""Identity in a run, worked out by hand from docs/background/model.md, for whatever simulates it.

The client calls `a` over a link of 1 ms each way, and `a` works 10 ms. A handshake is 1 ms there, 2 ms at the
sidecar of `a`, 1 ms back, and 2 ms at the client: 6 ms before the request's own 12 ms. Times are in
milliseconds; what is expected of each request is (latency, status, flag).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from meshsim import random, reference
from meshsim.measure.records import Records
from meshsim.scenario.model import Scenario

Simulate = Callable[..., Records]
Part = dict[str, Any]

PLAIN = (12.0, 200, "")
FIRST = (18.0, 200, "")  # on a new connection
UNTRUSTED = (6.0, 503, "UF")
REJECTED = (8.0, 503, "UC")  # the FIN comes 2 ms after the handshake, the request goes meanwhile
ONE_EACH = {"a": {"connection": {"max_requests": 1}}}
CA_DOWN_AT_ONCE = {"at": "0s", "component": "ca", "down": True}


@pytest.fixture(params=[reference.simulate], ids=["reference"])
def simulate(request: pytest.FixtureRequest) -> Simulate:
    """What is under test."""
    simulate: Simulate = request.param
    return simulate


def scene(*milliseconds: float, mtls: Part | None = None, a: Part | None = None, **parts: Any) -> Scenario:
    """The stage with requests at the given times; `mtls`, `a` and other parts as a file has them."""
    mesh = {"dataplane": "sidecar", **parts.pop("mesh", {})}
    mesh["mtls"] = {"mode": "strict", "handshake": "2ms", "jitter": "0%", **(mtls or {})}
    times = [at / 1000 for at in milliseconds]
    raw = {
        "duration": "5s",
        "services": {"a": {"time": "10ms"} | (a or {}), **parts.pop("others", {})},
        "mesh": mesh,
        "links": {"default": {"latency": "1ms"}},
        "load": [{"to": "a", "arrivals": {"trace": {"times": times}}}],
        **parts,
    }
    return Scenario.model_validate(raw)


def outcomes(records: Records) -> list[tuple[float, int, str]]:
    rows = records.requests
    return [
        (round((end - start) * 1e3, 6), int(status), str(flag))
        for start, end, status, flag in zip(rows.start, rows.end, rows.status, rows.flag, strict=True)
    ]


def kinds(records: Records, edge: int = 0) -> Counter[str]:
    """How often each thing came of the connections of an edge."""
    return Counter(what for _, number, what in records.connections if number == edge)


def down(since: float, until: float, **target: Any) -> Part:
    named = target or {"service": "a"}
    return {"at": f"{since}ms", "for": f"{until - since}ms", "down": True, **named}


def ca_down(since: float, until: float = 4000.0) -> Part:
    return down(since, until, component="ca")


CASES: dict[str, tuple[Scenario, list[tuple[float, int, str]]]] = {
    "a handshake for a new connection": (scene(0, 100), [FIRST, PLAIN]),
    "two round trips": (scene(0, mtls={"round_trips": 2}), [(20.0, 200, "")]),
    "no round trip": (scene(0, mtls={"round_trips": 0}), [(16.0, 200, "")]),
    "no work": (scene(0, mtls={"handshake": "0ms"}), [(14.0, 200, "")]),
    "disabled": (scene(0, mtls={"mode": "disable"}), [PLAIN]),
    "disabled for the service": (scene(0, a={"mtls": "disable"}), [PLAIN]),
    "outside the mesh": (scene(0, a={"sidecar": False}), [PLAIN]),
    # passes at the sidecar: 1-3, 3-5; requests at 7 and 9; answers at 18 and 20
    "handshakes wait at the sidecar": (
        scene(0, 0, mesh={"proxy": {"time": "1ms", "workers": 1}}),
        [(20.0, 200, ""), (22.0, 200, "")],
    ),
    "a time-out covers the handshake": (
        scene(0, policies={"a": {"connection": {"connect_timeout": "4.5ms"}}}),
        [(4.5, 503, "UF")],
    ),
    "a time-out just not": (
        scene(0, policies={"a": {"connection": {"connect_timeout": "6.5ms"}}}),
        [FIRST],
    ),
    "down during the upstream's pass": (scene(100, events=[down(102, 110)]), [(2.0, 503, "UF")]),
    "down on the way there": (scene(100, events=[down(100.5, 110)]), [(1.0, 503, "UF")]),
    "down on the way back": (scene(100, events=[down(103.5, 110)]), [(4.0, 503, "UF")]),
    "down during the client's pass": (scene(100, events=[down(105, 110)]), [UNTRUSTED]),
    # ---- certificates
    "renewed in time": (scene(1000, mtls={"certificate_ttl": "100ms"}), [FIRST]),
    "valid to the end": (scene(93, mtls={"certificate_ttl": "100ms"}, events=[CA_DOWN_AT_ONCE]), [FIRST]),
    "expired at the look": (
        scene(94, mtls={"certificate_ttl": "100ms"}, events=[CA_DOWN_AT_ONCE]),
        [UNTRUSTED],
    ),
    # the one worker of the CA is with the client from 50 to 120, then with `a` to 190, which expires at 100
    "a CA that is too slow": (
        scene(110, 200, mtls={"certificate_ttl": "100ms", "ca": {"time": "70ms", "workers": 1}}),
        [UNTRUSTED, FIRST],
    ),
    "a restart waits for its certificate": (
        scene(160, 179, 180.5, mtls={"ca": {"time": "30ms"}}, events=[down(100, 150)]),
        [(0.0, 503, "UF"), (0.0, 503, "UF"), FIRST],
    ),
    "an outage ends the asking": (
        scene(179, 190, 201, mtls={"ca": {"time": "30ms"}}, events=[down(100, 150), down(160, 170)]),
        [(0.0, 503, "UF"), (0.0, 503, "UF"), FIRST],
    ),
    # what it asked for at 150 keeps the one worker until 180, though nobody wants it
    "what is signed in vain is worked on": (
        scene(209, 211, mtls={"ca": {"time": "30ms", "workers": 1}}, events=[down(100, 150), down(160, 170)]),
        [(0.0, 503, "UF"), FIRST],
    ),
    "a CA that is down keeps a restart down": (
        scene(
            900, 1200,
            mtls={"ca": {"retry": {"base": "1ms", "max": "1ms"}}},
            events=[down(100, 150), ca_down(120, 1000)],
        ),
        [(0.0, 503, "UF"), FIRST],
    ),
    "a CA that goes down refuses what it holds": (
        scene(
            155, 199,
            mtls={"ca": {"time": "30ms", "retry": {"base": "1ms", "max": "1ms"}}},
            events=[down(100, 150), ca_down(160, 165)],
        ),
        [(0.0, 503, "UF"), FIRST],
    ),
    # the client's next is 10 s away, that of `a` comes with its restart
    "the upstream refuses the client": (
        scene(
            200,
            mtls={"certificate_ttl": "100ms", "ca": {"retry": {"base": "1000s", "max": "1000s"}}},
            events=[ca_down(40, 120), down(110, 130)],
        ),
        [REJECTED],
    ),
    # ---- roots: certificates are renewed at 50, 100, 150, ...
    "an old root": (
        scene(120, 160, mtls={"certificate_ttl": "100ms"}, policies=ONE_EACH, events=[
            {"at": "110ms", "component": "ca", "rotate_root": True}]),
        [UNTRUSTED, FIRST],
    ),
    "an old root in the overlap": (
        scene(120, 160, mtls={"certificate_ttl": "100ms"}, policies=ONE_EACH, events=[
            {"at": "110ms", "component": "ca", "rotate_root": True, "overlap": "60ms"}]),
        [FIRST, FIRST],
    ),
    "an overlap that is too short": (
        scene(120, 140, 160, mtls={"certificate_ttl": "100ms"}, policies=ONE_EACH, events=[
            {"at": "110ms", "component": "ca", "rotate_root": True, "overlap": "20ms"}]),
        [FIRST, UNTRUSTED, FIRST],
    ),
    # ---- modes
    "a push of mTLS closes connections": (
        scene(50, 150, 250, mtls={"mode": "disable"}, events=[
            {"at": "100ms", "set": {"services.a.mtls": "strict"}}]),
        [PLAIN, FIRST, PLAIN],
    ),
    "and so does one that takes it back": (
        scene(50, 150, 250, events=[{"at": "100ms", "set": {"mesh.mtls.mode": "disable"}}]),
        [FIRST, PLAIN, PLAIN],
    ),
    "strict to permissive is nothing to the caller": (
        scene(50, 150, events=[{"at": "100ms", "set": {"mesh.mtls.mode": "permissive"}}]),
        [FIRST, PLAIN],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_timeline(simulate: Simulate, name: str) -> None:
    scenario, expected = CASES[name]
    assert outcomes(simulate(scenario)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a handshake for a new connection", {"opened": 1, "secured": 1}),
        ("disabled", {"opened": 1}),
        ("outside the mesh", {}),
        ("expired at the look", {"failed": 1, "untrusted": 1}),
        ("down on the way back", {"failed": 1}),
        ("the upstream refuses the client", {"opened": 1, "secured": 1, "rejected": 1, "broken": 1}),
        ("a push of mTLS closes connections", {"opened": 2, "secured": 1}),
    ],
)
def test_what_results_count_of_connections(simulate: Simulate, name: str, expected: Part) -> None:
    assert kinds(simulate(CASES[name][0])) == expected


FROM_OUTSIDE: Part = {
    "others": {"b": {"time": "10ms"}},
    "a": {"sidecar": False, "time": "1ms", "script": [{"call": "b"}]},
}


def test_plaintext_is_refused_where_mtls_is_wanted(simulate: Simulate) -> None:
    """1 there, 1 of work; the request 1 there and its FIN 1 back; 1 back."""
    records = simulate(scene(0, 100, **FROM_OUTSIDE))
    assert outcomes(records) == [(5.0, 500, ""), (5.0, 500, "")]
    assert kinds(records, 1) == {"opened": 2, "rejected": 2, "broken": 2}
    assert np.isnan(records.attempts.arrived[records.attempts.edge == 1]).all()


def test_plaintext_is_permitted(simulate: Simulate) -> None:
    records = simulate(scene(0, 100, mtls={"mode": "permissive"}, **FROM_OUTSIDE))
    assert outcomes(records) == [(15.0, 200, ""), (15.0, 200, "")]
    assert kinds(records, 1) == {"opened": 1}


def test_a_caller_that_goes_down_ends_its_handshake(simulate: Simulate) -> None:
    """`a` has the request at 7 and works till 17; the handshake with `b` is at `a` from 21 to 23."""
    both = {"a": {"time": "10ms", "script": [{"call": "b"}]}, "others": {"b": {"time": "10ms"}}}
    records = simulate(scene(0, events=[down(22, 30)], **both))
    assert outcomes(records) == [(23.0, 503, "UC")]
    assert kinds(records, 1) == {"failed": 1}


def delays(seed: int, mean: float) -> list[float]:
    """How long the push of event 0 takes to the client, and to `a`, s."""
    proxies = [random.derive(random.derive(seed, random.PROXIES), number) for number in (0, 1)]
    time = random.Exponential(mean)
    return [time.draw(random.derive(proxy, 0), random.PUSH) for proxy in proxies]


def test_an_upstream_that_has_heard_first_knows_no_tls(simulate: Simulate) -> None:
    """The client's first message goes there and back, and is not understood."""
    seed = next(seed for seed in range(100) if delays(seed, 0.2)[1] + 0.1 < delays(seed, 0.2)[0])
    between = (0.1 + delays(seed, 0.2)[1] + 0.05) * 1000
    push = {"at": "100ms", "set": {"mesh.mtls.mode": "disable"}}
    records = simulate(scene(between, mesh={"push_delay": {"exponential": "200ms"}}, events=[push]), seed)
    assert outcomes(records) == [(2.0, 503, "UF")]
    assert kinds(records) == {"failed": 1, "untrusted": 1}


def test_a_failure_that_takes_no_time_is_no_loop(simulate: Simulate) -> None:
    """Handshakes without time fail in an event of their own, as often as they are tried."""
    retried = {"a": {"retries": {"attempts": 3, "backoff": {"base": "0ms"}}}}
    mtls = {"certificate_ttl": "100ms", "handshake": "0s", "round_trips": 0}
    records = simulate(scene(200, mtls=mtls, events=[CA_DOWN_AT_ONCE], policies=retried))
    assert outcomes(records) == [(0.0, 503, "URX,UF")]
    assert kinds(records) == {"failed": 4, "untrusted": 4}
