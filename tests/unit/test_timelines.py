"""Timelines worked out by hand from docs/background/model.md, for whatever simulates it.

Most cases share one stage: the client calls `a` over a link of 1 ms each way, and `a` works 10 ms. Times are
in milliseconds. What is expected of each request is (latency, status, flag, attempts).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import floor, isnan, log1p, nan, sqrt
from typing import Any

import numpy as np
import pytest

from meshsim import engine, random, reference
from meshsim.measure.records import Records
from meshsim.measure.summary import summarise
from meshsim.scenario.model import Scenario

Simulate = Callable[..., Records]
Part = dict[str, Any]
Expected = list[tuple[float, int, str, int]]

CLOSE = 1e-9
UNFINISHED = (nan, 0, "", 0)


@pytest.fixture(params=[reference.simulate, engine.simulate], ids=["reference", "engine"])
def simulate(request: pytest.FixtureRequest) -> Simulate:
    """What is under test: both tellings of the mesh, against timelines worked out by hand."""
    simulate: Simulate = request.param
    return simulate


def ms(milliseconds: float) -> str:
    return f"{milliseconds!r}ms"


def trace(*milliseconds: float, **load: Any) -> Part:
    return {"to": "a", **load, "arrivals": {"trace": {"times": [at / 1000 for at in milliseconds]}}}


def scene(*milliseconds: float, a: Part | None = None, **parts: Any) -> Scenario:
    """The stage with requests at the given times; `a` and other parts as a scenario file has them."""
    policy = parts.pop("policy", None)
    raw = {
        "duration": "1s",
        "services": {"a": {"time": "10ms"} | (a or {}), **parts.pop("others", {})},
        "links": {"default": {"latency": "1ms"}},
        "load": [trace(*milliseconds)],
        **parts,
    }
    if policy is not None:
        raw["policies"] = {"a": policy, **raw.get("policies", {})}
    return Scenario.model_validate(raw)


def check(records: Records, expected: Expected) -> None:
    requests = records.requests
    latency = (requests.end - requests.start) * 1000
    np.testing.assert_allclose(latency, [row[0] for row in expected], rtol=0, atol=CLOSE * 1000)
    assert requests.status.tolist() == [row[1] for row in expected]
    assert requests.flag.tolist() == [row[2] for row in expected]
    assert requests.attempts.tolist() == [row[3] for row in expected]


def busy(records: Records) -> float:
    """Milliseconds that workers were busy, or held."""
    return float(records.busy.sum()) * 1000


def fails(since: float, until: float, **target: str) -> Part:
    return {"at": ms(since), "for": ms(until - since), "errors": 1.0, **(target or {"service": "a"})}


def slow(since: float, until: float, factor: float) -> Part:
    return {"at": ms(since), "for": ms(until - since), "service": "a", "slow": factor}


def down(since: float, until: float, replica: str = "a/0") -> Part:
    return {"at": ms(since), "for": ms(until - since), "replica": replica, "down": True}


def retries(attempts: int = 1, **more: Any) -> Part:
    """Retries without a pause before them."""
    return {"retries": {"attempts": attempts, "backoff": {"base": "0ms"}, **more}}


OK = (12.0, 200, "", 1)
ALWAYS = {"errors": 1.0}
ONE = {"workers": 1}
LIMIT_1 = {"circuit_breaker": {"max_connections": 1}}
TOGETHER = retries(on=["5xx"], budget={"ratio": 1.0, "min_concurrency": 0})
OUTLIER = {
    "consecutive_5xx": 1, "interval": "500ms", "base_ejection_time": "1s", "max_ejection_percent": 1.0,
}  # fmt: skip

CASES: dict[str, tuple[Scenario, Expected]] = {
    # ---- replicas ------------------------------------------------------------------------------------
    "plain": (scene(0, 5), [OK, OK]),
    "one worker, in line": (scene(0, 1, 2, a=ONE), [OK, (21, 200, "", 1), (30, 200, "", 1)]),
    "queue full": (
        scene(0, 1, 2, a={"workers": 1, "queue": 1}),
        [OK, (21, 200, "", 1), (2, 503, "", 1)],
    ),
    "no queue at all": (scene(0, 1, a={"workers": 1, "queue": 0}), [OK, (2, 503, "", 1)]),
    # the third overtakes the second: 11 -> 21, then 21 -> 31
    "lifo": (scene(0, 1, 2, a=ONE | {"discipline": "lifo"}), [OK, (31, 200, "", 1), (20, 200, "", 1)]),
    "priority": (
        scene(a=ONE | {"discipline": "priority"}, load=[trace(0, 1), trace(2, priority=5), trace(2.5)]),
        [OK, (31, 200, "", 1), (20, 200, "", 1), (39.5, 200, "", 1)],
    ),
    "own failure": (scene(0, a=ALWAYS), [(12, 500, "", 1)]),
    # errors are decided when the service ends, at 11; slowness when it starts, at 1
    "errors while they last": (scene(0, 2, events=[fails(10.5, 12)]), [(12, 500, "", 1), OK]),
    "slow while it lasts": (scene(0, 4, events=[slow(0, 4.5, 2)]), [(22, 200, "", 1), OK]),
    "slowness multiplies": (scene(0, events=[slow(0, 3, 2), slow(0.5, 3, 3)]), [(62, 200, "", 1)]),
    "latest errors win": (
        scene(0, events=[fails(0, 20), {"at": "5ms", "for": "10ms", "service": "a", "errors": 0.0}]),
        [OK],
    ),
    "of errors that begin together the last in the file wins": (
        scene(0, events=[fails(0, 20), {"at": "0ms", "for": "20ms", "service": "a", "errors": 0.0}]),
        [OK],
    ),
    # ---- scripts: 10, then the longer of 7 and 22, then 7 ----------------------------------------------
    "stages": (
        scene(
            0,
            a={"script": [[{"call": "b"}, {"call": "c"}], {"call": "b"}]},
            others={"b": {"time": "5ms"}, "c": {"time": "20ms"}},
        ),
        [(41, 200, "", 1)],
    ),
    "a failed call": (
        scene(
            0,
            a={"script": [[{"call": "b"}, {"call": "c"}], {"call": "c"}]},
            others={"b": {"time": "5ms", "errors": 1.0}, "c": {"time": "20ms"}},
        ),
        [(34, 500, "", 1)],
    ),
    "a failed optional call": (
        scene(
            0,
            a={"script": [{"call": "b", "optional": True}, {"call": "c"}]},
            others={"b": {"time": "5ms", "errors": 1.0}, "c": {"time": "20ms"}},
        ),
        [(41, 200, "", 1)],
    ),
    "a call never made": (
        scene(0, a={"script": [{"call": "b", "probability": 0.0}]}, others={"b": {"time": "5ms"}}),
        [OK],
    ),
    "sleep, worker held": (
        scene(0, 1, a=ONE | {"script": [{"sleep": "20ms"}]}),
        [(32, 200, "", 1), (61, 200, "", 1)],
    ),
    "sleep, worker free": (
        scene(0, 1, a=ONE | {"script": [{"sleep": "20ms"}], "holds_worker": False}),
        [(32, 200, "", 1), (41, 200, "", 1)],
    ),
    # ---- sidecars: a's four passes and b's two, 0.5 each ------------------------------------------------
    "sidecars": (
        scene(
            0,
            a={"script": [{"call": "b"}]},
            others={"b": {"time": "5ms"}},
            mesh={"dataplane": "sidecar", "proxy": {"time": "0.5ms"}},
        ),
        [(22, 200, "", 1)],
    ),
    # second: arrives 1.5, in 4 - 7, waits for the worker 14 - 24, out 24 - 27
    "a sidecar with one worker": (
        scene(0, 0.5, a=ONE, mesh={"dataplane": "sidecar", "proxy": {"time": "3ms", "workers": 1}}),
        [(18, 200, "", 1), (27.5, 200, "", 1)],
    ),
    "a full queue's answer passes the sidecar": (
        scene(
            *(0, 2),
            a={"workers": 1, "queue": 0},
            mesh={"dataplane": "sidecar", "proxy": {"time": "3ms"}},
        ),
        [(18, 200, "", 1), (8, 503, "", 1)],
    ),
    # ---- links -----------------------------------------------------------------------------------------
    "request lost": (
        scene(0, events=[{"at": "0ms", "for": "100ms", "link": "client -> a", "loss": 1.0}]),
        [(212, 200, "", 1)],
    ),
    "request lost twice": (
        scene(0, events=[{"at": "0ms", "for": "300ms", "link": "client -> a", "loss": 1.0}]),
        [(612, 200, "", 1)],
    ),
    "response lost": (
        scene(0, events=[{"at": "5ms", "for": "100ms", "link": "client -> a", "loss": 1.0}]),
        [(212, 200, "", 1)],
    ),
    # 0.2 + 0.4 + ... + 102.4 and five times 120 s
    "lost for good": (
        scene(0, links={"default": {"latency": "1ms", "loss": 1.0}}, drain="1000s"),
        [(804_600, 503, "UC", 1)],
    ),
    "a slow link on the way out": (
        scene(0, events=[{"at": "0ms", "for": "5ms", "link": "client -> a", "latency_factor": 3}]),
        [(14, 200, "", 1)],
    ),
    # ---- outages ---------------------------------------------------------------------------------------
    "refused": (scene(0, events=[down(0, 5)]), [(2, 503, "UF", 1)]),
    "gone at the moment of arrival": (scene(0, events=[down(1, 1.5)]), [(2, 503, "UF", 1)]),
    "lost with the replica": (scene(0, 3, events=[down(6, 7)]), [(7, 503, "UC", 1), (4, 503, "UC", 1)]),
    "up when all outages are over": (
        scene(4, 6, events=[down(0, 6), down(2, 7)]),
        [(2, 503, "UF", 1), OK],
    ),
    # held at 5: UC there, back at 6; the retry arrives at 7: UF, back at 8
    "retried against a closed door": (
        scene(0, policy=retries(), events=[down(5, 15)]),
        [(8, 503, "URX,UF", 2)],
    ),
    "a replica forgets its work": (
        scene(0, 7, a=ONE, events=[down(5, 6)]),
        [(6, 503, "UC", 1), OK],
    ),
    # ---- time-outs and retries -------------------------------------------------------------------------
    "route time-out": (scene(0, policy={"timeout": "5ms"}), [(5, 504, "UT", 1)]),
    "per-try time-outs": (scene(0, policy=retries(per_try_timeout="5ms")), [(10, 504, "URX,UT", 2)]),
    "per-try as long as the route's": (
        scene(0, a={"time": "30ms"}, policy={"timeout": "15ms"} | retries(per_try_timeout="15ms")),
        [(15, 504, "UT", 1)],
    ),
    # the second try's time would be up at 10, the route's is at 7
    "route time-out in a retry": (
        scene(0, policy={"timeout": "7ms"} | retries(3, per_try_timeout="5ms")),
        [(7, 504, "UT", 2)],
    ),
    "retry heals": (scene(0, policy=retries(), events=[fails(0, 11.5)]), [(24, 200, "", 2)]),
    "retries used up": (scene(0, a=ALWAYS, policy=retries(2)), [(36, 500, "URX", 3)]),
    "no retries to use": (scene(0, a=ALWAYS, policy=retries(0)), [(12, 500, "URX", 1)]),
    "not worth a retry": (scene(0, a=ALWAYS, policy=retries(on=["gateway-error"])), [(12, 500, "", 1)]),
    "a refusal worth a retry": (
        scene(0, policy=retries(on=["connect-failure"]), events=[down(0, 1.5)]),
        [(14, 200, "", 2)],
    ),
    "a time-out not worth a retry": (
        scene(0, policy=retries(on=["connect-failure"], per_try_timeout="5ms")),
        [(5, 504, "UT", 1)],
    ),
    "route time-out in a back-off": (
        scene(0, a=ALWAYS, policy={"timeout": "12.001ms", "retries": {"backoff": {"base": "1s"}}}),
        [(12.001, 504, "UT", 1)],
    ),
    # a time-out closes the connection, so there is never one idle
    "time covers the wait for a connection": (
        scene(0, 2, policy=LIMIT_1 | {"timeout": "5ms"}),
        [(5, 504, "UT", 1), (5, 504, "UT", 1)],
    ),
    "per-try time starts with the connection": (
        scene(0, 2, policy=LIMIT_1 | retries(0, per_try_timeout="5ms")),
        [(5, 504, "URX,UT", 1), (8, 504, "URX,UT", 1)],
    ),
    # ---- breaker and budgets ---------------------------------------------------------------------------
    "max_requests": (
        scene(0, 5, 13, policy={"circuit_breaker": {"max_requests": 1}}),
        [OK, (0, 503, "UO", 0), OK],
    ),
    # the second is sent at 12, the third at 24
    "max_connections": (scene(0, 5, 6, policy=LIMIT_1), [OK, (19, 200, "", 1), (30, 200, "", 1)]),
    "max_pending": (
        scene(0, 5, 6, policy={"circuit_breaker": {"max_connections": 1, "max_pending": 1}}),
        [OK, (19, 200, "", 1), (0, 503, "UO", 0)],
    ),
    "max_pending of 0 never serves": (
        scene(0, policy={"circuit_breaker": {"max_pending": 0}}),
        [(0, 503, "UO", 0)],
    ),
    "UO is not retried": (
        scene(0, 5, policy={"circuit_breaker": {"max_requests": 1}} | retries(3)),
        [OK, (0, 503, "UO", 0)],
    ),
    "max_retries": (
        scene(0, a=ALWAYS, policy={"circuit_breaker": {"max_retries": 0}} | retries()),
        [(12, 500, "UO", 1)],
    ),
    # the first one's retry holds the slot from 12 to 24
    "max_retries at once": (
        scene(0, 1, a=ALWAYS, policy={"circuit_breaker": {"max_retries": 1}} | retries()),
        [(24, 500, "URX", 2), (12, 500, "UO", 1)],
    ),
    # floor(0.2 · 1) = 0, the second time floor(0.5 · 2) = 1 with the other request in flight
    "envoy's budget refuses": (
        scene(0, a=ALWAYS, policy=retries(budget={"ratio": 0.2, "min_concurrency": 0})),
        [(12, 500, "UO", 1)],
    ),
    "envoy's budget counts what is active": (
        scene(0, 3, events=[fails(0, 12)], policy=retries(budget={"ratio": 0.5, "min_concurrency": 0})),
        [(24, 200, "", 2), OK],
    ),
    # two successes pay for one retry at ratio 0.5; the retry's own failure pays nothing
    "linkerd's budget": (
        scene(
            *(0, 20, 40, 80),
            events=[fails(35, 200)],
            policy=retries(budget={"ratio": 0.5, "min_per_second": 0}),
        ),
        [OK, OK, (24, 500, "URX", 2), (12, 500, "UO", 1)],
    ),
    # the writer goes to slot 0 with the operation at 5.012 s and is overwritten ten slots later
    "linkerd's budget forgets": (
        scene(
            *(0, 20, 5_000, 16_500),
            duration="20s",
            events=[fails(16_000, 20_000)],
            policy=retries(budget={"ratio": 0.5, "min_per_second": 0}),
        ),
        [OK, OK, OK, (12, 500, "UO", 1)],
    ),
    # ---- outlier detection -----------------------------------------------------------------------------
    # ejected at 12 until 1012; the ticks at 500 and 1000 come too early
    "ejection": (
        scene(
            *(0, 100, 1_450, 1_510),
            duration="2s",
            events=[fails(0, 20)],
            policy={"outlier_detection": OUTLIER},
        ),
        [(12, 500, "", 1), (0, 503, "UH", 0), (0, 503, "UH", 0), OK],
    ),
    # back at 1500, ejected again at 1612, now for 2 s: back at 4000
    "the second ejection lasts longer": (
        scene(
            *(0, 1_600, 3_900, 4_100),
            duration="5s",
            events=[fails(0, 2_000)],
            policy={"outlier_detection": OUTLIER},
        ),
        [(12, 500, "", 1), (12, 500, "", 1), (0, 503, "UH", 0), OK],
    ),
    # back at 1500; the tick at 2000 still spares it, the one at 2500 forgives; 2612 + 1 s: back at 4000
    "forgiven": (
        scene(
            *(0, 2_600, 3_900, 4_100),
            duration="5s",
            events=[fails(0, 3_000)],
            policy={"outlier_detection": OUTLIER},
        ),
        [(12, 500, "", 1), (12, 500, "", 1), (0, 503, "UH", 0), OK],
    ),
    "the cap": (
        scene(0, 100, a=ALWAYS, policy={"outlier_detection": OUTLIER | {"max_ejection_percent": 0.1}}),
        [(12, 500, "", 1), (12, 500, "", 1)],
    ),
    # out at 122, as two have failed; back on the tick of 500; out again at 622, which is told at 922; back at
    # 1000, told at 1300
    "a change waits for others": (
        scene(
            *range(10, 1_400, 100),
            a=ALWAYS,
            duration="2s",
            policy={
                "outlier_detection": OUTLIER
                | {"consecutive_5xx": 2, "base_ejection_time": "100ms", "merge_window": "300ms"}
            },
        ),
        [
            *[(12, 500, "", 1)] * 2,
            *[(0, 503, "UH", 0)] * 3,
            *[(12, 500, "", 1)] * 5,
            *[(0, 503, "UH", 0)] * 3,
            (12, 500, "", 1),
        ],
    ),
    # when others' ends make room, or a push does, all who wait get connections
    "room for all who wait": (
        scene(
            0,
            1,
            2,
            3,
            policy=LIMIT_1,
            events=[{"at": "5ms", "set": {"policies.a.circuit_breaker.max_connections": 9}}],
        ),
        [OK, (23, 200, "", 1), (22, 200, "", 1), (21, 200, "", 1)],
    ),
    # one after the other, each answer leaves one less in flight
    "a budget when several fail together": (
        scene(0, 0, 0, 0, 0, 0, policy=TOGETHER, events=[fails(0, 12)]),
        [*[(24, 200, "", 2)] * 3, *[(12, 500, "UO", 1)] * 3],
    ),
    # connections that break at one instant are all counted for each
    "a budget when connections break together": (
        scene(0, 0, 0, 0, 0, 0, policy=TOGETHER, events=[down(5, 6)]),
        [(18, 200, "", 2)] * 6,
    ),
    "panic": (
        scene(
            *(0, 100),
            events=[fails(0, 20)],
            policy={"outlier_detection": OUTLIER | {"min_health_percent": 0.5}},
        ),
        [(12, 500, "", 1), OK],
    ),
    "in a row": (
        scene(
            *(0, 20, 40, 60, 80),
            events=[fails(0, 20), fails(42, 80)],
            policy={"outlier_detection": OUTLIER | {"consecutive_5xx": 2}},
        ),
        [(12, 500, "", 1), OK, (12, 500, "", 1), (12, 500, "", 1), (0, 503, "UH", 0)],
    ),
    "a time-out is charged": (
        scene(0, 8, policy={"timeout": "5ms", "outlier_detection": OUTLIER}),
        [(5, 504, "UT", 1), (0, 503, "UH", 0)],
    ),
    "a retry finds no host": (
        scene(0, a=ALWAYS, policy=retries() | {"outlier_detection": OUTLIER}),
        [(12, 503, "UH", 1)],
    ),
    # ---- hedges: the first try takes 100 ms of service, being slow ----------------------------------------
    "hedge": (scene(0, policy={"hedge": {"after": "20ms"}}, events=[slow(0, 5, 10)]), [(32, 200, "", 2)]),
    "hedges": (
        scene(0, policy={"hedge": {"after": "20ms", "max": 2}}, events=[slow(0, 30, 10)]),
        [(52, 200, "", 3)],
    ),
    "no need for a hedge": (scene(0, policy={"hedge": {"after": "20ms"}}), [OK]),
    "a hedge needs a slot": (
        scene(
            0,
            policy={"hedge": {"after": "20ms"}, "circuit_breaker": {"max_retries": 0}},
            events=[slow(0, 5, 10)],
        ),
        [(102, 200, "", 1)],
    ),
    "a hedge's failure is dropped": (
        scene(0, policy={"hedge": {"after": "20ms"}}, events=[slow(0, 5, 10), fails(25, 35)]),
        [(102, 200, "", 2)],
    ),
    "the last failure is the answer": (
        scene(0, policy={"hedge": {"after": "20ms"}}, events=[slow(0, 5, 10), fails(25, 200)]),
        [(102, 500, "", 2)],
    ),
    "flags of what is dropped stay": (
        scene(0, policy={"hedge": {"after": "5ms"}} | retries(0), events=[fails(0, 12)]),
        [(17, 200, "URX", 2)],
    ),
    # the second request fails and has the only host ejected at 14; the first one's hedge at 20 finds none
    "a hedge finds no host": (
        scene(
            *(0, 2),
            policy={"hedge": {"after": "20ms"}, "outlier_detection": OUTLIER},
            events=[slow(0, 1.5, 10), fails(12, 14)],
        ),
        [(102, 200, "UH", 1), (12, 500, "", 1)],
    ),
    # at 102 the call drops its own pending hedge before the connection is free for whoever waits
    "a pending hedge does not get its own call's connection": (
        scene(0, policy=LIMIT_1 | {"hedge": {"after": "20ms"}}, events=[slow(0, 5, 10)]),
        [(102, 200, "", 1)],
    ),
    # both at 30: the route's timer was set first
    "route time-out before a hedge": (
        scene(0, policy={"timeout": "30ms", "hedge": {"after": "30ms"}}, events=[slow(0, 5, 10)]),
        [(30, 504, "UT", 1)],
    ),
    # both at 10: the hedge's timer was set first, so there is a hedge when the first try ends
    "hedge before a per-try time-out": (
        scene(
            0, a={"time": "100ms"}, policy={"hedge": {"after": "10ms"}} | retries(0, per_try_timeout="10ms")
        ),
        [(20, 504, "URX,UT", 2)],
    ),
    "a pending hedge leaves with its call": (
        scene(0, policy=LIMIT_1 | {"timeout": "30ms", "hedge": {"after": "20ms"}}, events=[slow(0, 5, 10)]),
        [(30, 504, "UT", 1)],
    ),
    # ---- filters ---------------------------------------------------------------------------------------
    # tokens before each: 2, 1.01, 0.02, 1.02, 0.03
    "rate limit": (
        scene(0, 1, 2, 102, 103, policy={"rate_limit": {"burst": 2, "rate": "10/s"}}),
        [OK, OK, (0, 429, "RL", 0), OK, (0, 429, "RL", 0)],
    ),
    "fault delay": (scene(0, policy={"fault": {"delay": {"time": "30ms"}}}), [(42, 200, "DI", 1)]),
    "fault abort": (scene(0, policy={"fault": {"abort": {"status": 418}}} | retries()), [(0, 418, "FI", 0)]),
    "both": (scene(0, policy={"fault": {"delay": {"time": "30ms"}, "abort": {}}}), [(30, 503, "DI,FI", 0)]),
    "a fault is not in the route's time": (
        scene(0, policy={"fault": {"delay": {"time": "30ms"}}, "timeout": "15ms"}),
        [(42, 200, "DI", 1)],
    ),
    # ---- pushes ----------------------------------------------------------------------------------------
    "push": (
        scene(
            *(0, 45, 55, 65),
            policy={},
            mesh={"push_delay": "10ms"},
            events=[{"at": "50ms", "set": {"policies.a.timeout": "5ms"}}],
        ),
        [OK, OK, OK, (5, 504, "UT", 1)],
    ),
    "a push at once": (
        scene(45, 50, policy={}, events=[{"at": "50ms", "set": {"policies.a.timeout": "5ms"}}]),
        [OK, (5, 504, "UT", 1)],
    ),
    "a limit that is pushed starts full": (
        scene(
            *(0, 1, 6, 7),
            policy={"rate_limit": {"burst": 1, "rate": "1/s"}},
            events=[{"at": "5ms", "set": {"policies.a.rate_limit": {"burst": 1, "rate": "2/s"}}}],
        ),
        [OK, (0, 429, "RL", 0), OK, (0, 429, "RL", 0)],
    ),
    "no detection, no ejection": (
        scene(
            *(0, 100, 200),
            events=[fails(0, 20), {"at": "150ms", "set": {"policies.a.outlier_detection": None}}],
            policy={"outlier_detection": OUTLIER},
        ),
        [(12, 500, "", 1), (0, 503, "UH", 0), OK],
    ),
    # the grid begins at 300: ticks at 800, 1300 and 1800; ejected from 362 to 1362
    "detection that is pushed has a grid of its own": (
        scene(
            *(350, 1_600, 1_850),
            duration="2s",
            policy={},
            events=[fails(0, 1_000), {"at": "300ms", "set": {"policies.a.outlier_detection": OUTLIER}}],
        ),
        [(12, 500, "", 1), (0, 503, "UH", 0), OK],
    ),
    "thresholds act at once": (
        scene(
            *(0, 1, 3, 4),
            policy={"circuit_breaker": {"max_requests": 2}},
            events=[{"at": "2ms", "set": {"policies.a.circuit_breaker.max_requests": 3}}],
        ),
        [OK, OK, OK, (0, 503, "UO", 0)],
    ),
    # ---- the end ---------------------------------------------------------------------------------------
    "unfinished": (
        scene(0, 90, 95, duration="94ms", drain="6ms", a={"time": "8ms"}, events=[slow(85, 99, 10)]),
        [(10, 200, "", 1), UNFINISHED],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_timeline(simulate: Simulate, name: str) -> None:
    scenario, expected = CASES[name]
    check(simulate(scenario), expected)


# ---- what draws decide ------------------------------------------------------------------------------------


def key(*tags: int, seed: int = 1) -> random.Key:
    result = seed
    for tag in tags:
        result = random.derive(result, tag)
    return result


def drawn(mean: float, at: random.Key, *purposes: int) -> float:
    """The sum of one exponential a purpose."""
    return sum(mean * -log1p(-random.u01(at, purpose)) for purpose in purposes)


def test_every_time_on_the_way_has_its_own_draw(simulate: Simulate) -> None:
    records = simulate(
        scene(
            *(0, 1, 2),
            a={"time": {"exponential": "10ms"}, "script": [{"sleep": {"exponential": "3ms"}}, {"call": "b"}]},
            others={"b": {"time": {"exponential": "5ms"}}},
            links={"default": {"latency": {"exponential": "1ms"}}},
            mesh={"dataplane": "sidecar", "proxy": {"time": {"exponential": "0.5ms"}}},
        )
    )
    expected: Expected = []
    for n in range(3):
        attempt = key(0, n, 0)
        sleep, call = (random.derive(attempt, random.SCRIPT + i) for i in (0, 1))
        child = random.derive(call, 0)
        links = [drawn(1, tried, random.LINK_OUT, random.LINK_BACK) for tried in (attempt, child)]
        passes = [drawn(0.5, tried, random.PROXY_IN, random.PROXY_RESPONSE) for tried in (attempt, child)]
        own = drawn(0.5, call, random.PROXY_OUT, random.PROXY_BACK)
        work = drawn(10, attempt, random.SERVICE) + drawn(5, child, random.SERVICE)
        total = sum(links) + sum(passes) + own + work + drawn(3, sleep, random.SLEEP)
        expected.append((total, 200, "", 1))
    check(records, expected)


def test_each_transmission_may_be_lost(simulate: Simulate) -> None:
    times = range(0, 900, 30)
    records = simulate(scene(*times, links={"default": {"latency": "1ms", "loss": 0.5}}))
    expected: Expected = []
    for n in range(len(times)):
        late = 0.0
        for purpose in (random.LOSS_OUT, random.LOSS_BACK):
            lost = next(m for m in range(16) if random.u01(key(0, n, 0), purpose + m) >= 0.5)
            late += 200 * (2**lost - 1)
        expected.append((12 + late, 200, "", 1))
    assert max(row[0] for row in expected) > 1000
    check(records, expected)


def test_errors_and_calls_are_drawn(simulate: Simulate) -> None:
    times = range(0, 900, 30)
    a = {"errors": 0.3, "script": [{"call": "b", "probability": 0.4}]}
    records = simulate(scene(*times, a=a, others={"b": {"time": "5ms"}}))
    expected: Expected = []
    for n in range(len(times)):
        fails = random.u01(key(0, n, 0), random.ERROR) < 0.3
        taken = not fails and random.u01(key(0, n, 0, random.SCRIPT), random.TAKEN) < 0.4
        expected.append((19.0 if taken else 12.0, 500 if fails else 200, "", 1))
    assert len(set(expected)) == 3
    check(records, expected)


def test_faults_are_drawn(simulate: Simulate) -> None:
    times = range(0, 900, 30)
    fault = {"delay": {"percent": 0.5, "time": {"exponential": "4ms"}}, "abort": {"percent": 0.5}}
    records = simulate(scene(*times, policy={"fault": fault}))
    expected: Expected = []
    for call in (key(0, n) for n in range(len(times))):
        delayed = random.u01(call, random.FAULT_DELAY) < 0.5
        aborted = random.u01(call, random.FAULT_ABORT) < 0.5
        wait = drawn(4, call, random.FAULT_TIME) if delayed else 0.0
        flag = ",".join(["DI"] * delayed + ["FI"] * aborted)
        expected.append((wait, 503, flag, 0) if aborted else (wait + 12, 200, flag, 1))
    assert len({row[1:] for row in expected}) == 4
    check(records, expected)


def test_notices_and_pushes_take_their_drawn_time(simulate: Simulate) -> None:
    links = {"default": {"latency": {"exponential": "8ms"}}}
    a = {"time": "100ms", "when_abandoned": "stop"}
    records = simulate(scene(0, 200, 400, a=a, links=links, policy={"timeout": "10ms"}))
    for n in range(3):
        out = drawn(8, key(0, n, 0), random.LINK_OUT)
        told = max(out, 10 + drawn(8, key(0, n, 0), random.LINK_NOTICE))
        assert records.attempts.answered[n] * 1000 == pytest.approx(200 * n + told)
    push = 100 + drawn(50, key(random.PROXIES, 0, random.PUSHES, 0), random.PUSH)
    records = simulate(
        scene(
            *(push - 0.001, push + 0.001),
            policy={},
            mesh={"push_delay": {"exponential": "50ms"}},
            events=[{"at": "100ms", "set": {"policies.a.timeout": "5ms"}}],
        )
    )
    check(records, [OK, (5, 504, "UT", 1)])


def test_backoff_doubles_up_to_its_maximum(simulate: Simulate) -> None:
    policy = {"retries": {"attempts": 4, "backoff": {"base": "20ms", "max": "70ms"}}}
    waits = [
        random.u01(key(0, 0, n), random.BACKOFF) * bound for n, bound in ((1, 20), (2, 40), (3, 70), (4, 70))
    ]
    check(simulate(scene(0, a=ALWAYS, policy=policy)), [(5 * 12 + sum(waits), 500, "URX", 5)])


def test_jitter_is_added_to_the_backoff_up_to_its_maximum(simulate: Simulate) -> None:
    policy = {"retries": {"attempts": 4, "backoff": {"base": "20ms", "max": "70ms", "jitter": "50%"}}}
    draws = [random.u01(key(0, 0, n), random.BACKOFF) for n in range(1, 5)]
    waits = [20 * (1 + draws[0] / 2), 40 * (1 + draws[1] / 2), 70, 70]
    check(simulate(scene(0, a=ALWAYS, policy=policy)), [(5 * 12 + sum(waits), 500, "URX", 5)])


def test_split_draws_a_version_once_a_call(simulate: Simulate) -> None:
    versions = {"v1": {"time": "5ms"}, "v2": {"time": "8ms"}, "v3": {"time": "20ms"}}
    times = range(0, 1000, 40)
    records = simulate(scene(*times, a={"versions": versions}, policy={"split": {"v1": 1, "v2": 2, "v3": 1}}))
    draws = [random.u01(key(0, n), random.ROUTE) for n in range(len(times))]
    expected = ["v1" if u < 0.25 else "v2" if u < 0.75 else "v3" for u in draws]
    assert set(expected) == set(versions)
    assert records.requests.version.tolist() == expected
    latency = {"v1": 7.0, "v2": 10.0, "v3": 22.0}
    check(records, [(latency[version], 200, "", 1) for version in expected])


def test_version_is_empty_where_no_replica_answered(simulate: Simulate) -> None:
    versions: Part = {"versions": {"v1": {}}}
    events = [down(0, 15, "a/v1/0")]
    assert simulate(scene(0, a=versions, events=events)).requests.version.tolist() == ["v1"]  # UF
    assert simulate(scene(0, a=versions, policy={"timeout": "5ms"})).requests.version.tolist() == [""]
    assert simulate(scene(0, a=versions, policy=retries(0, per_try_timeout="5ms"))).requests.version[0] == ""


def test_round_robin_starts_at_the_proxys_own_place(simulate: Simulate) -> None:
    records = simulate(scene(*range(0, 140, 20), a={"replicas": 3}))
    start = floor(random.u01(key(random.PROXIES, 0), random.START) * 3)
    assert records.attempts.replica.tolist() == [(start + n) % 3 for n in range(7)]


def test_random_balancing_draws_for_the_attempt(simulate: Simulate) -> None:
    records = simulate(scene(*range(0, 140, 20), a={"replicas": 3}, policy={"balance": "random"}))
    expected = [floor(random.u01(key(0, n, 0), random.BALANCE) * 3) for n in range(7)]
    assert records.attempts.replica.tolist() == expected


def test_least_request_takes_the_idler_of_its_choices(simulate: Simulate) -> None:
    records = simulate(scene(0, 1, 2, 3, a={"replicas": 3}, policy={"balance": "least_request"}))
    active = [0, 0, 0]
    for n, replica in enumerate(records.attempts.replica.tolist()):
        first, second = (floor(random.u01(key(0, n, 0), random.BALANCE + i) * 3) for i in (0, 1))
        assert replica == (second if active[second] < active[first] else first)
        active[replica] += 1


def test_full_scan_finds_the_least_loaded(simulate: Simulate) -> None:
    balance = {"least_request": {"selection": "full_scan"}}
    records = simulate(scene(0, 1, 2, a={"replicas": 3}, policy={"balance": balance}))
    assert sorted(records.attempts.replica.tolist()) == [0, 1, 2]
    assert records.attempts.replica[0] == floor(random.u01(key(0, 0, 0), random.BALANCE) * 3)


# ---- loads ------------------------------------------------------------------------------------------------


def starts(simulate: Simulate, **load: Any) -> list[float]:
    result: list[float] = simulate(scene(load=[{"to": "a", **load}])).requests.start.tolist()
    return result


def test_constant_arrivals(simulate: Simulate) -> None:
    expected = [n / 40 for n in range(1, 40)]  # the one at 1 s comes too late
    assert starts(simulate, rate="40/s", arrivals="constant") == pytest.approx(expected, abs=CLOSE)


def test_poisson_arrivals(simulate: Simulate) -> None:
    gaps = [-log1p(-random.u01(key(0, n), random.GAP)) for n in range(200)]
    expected = np.cumsum(gaps) / 50
    assert starts(simulate, rate="50/s") == pytest.approx(expected[expected < 1].tolist(), abs=CLOSE)


def test_profile_with_a_ramp(simulate: Simulate) -> None:
    """5.5 arrivals at 100/s until 55 ms, then 100x + 1000x² until 105 ms (7.5 more), then 200/s."""
    profile = [{"at": "0s", "rate": "100/s"}, {"at": "55ms", "rate": "200/s", "ramp": "50ms"}]
    found = starts(simulate, profile=profile, arrivals="constant")
    ramp = [0.055 + (sqrt(100**2 + 4000 * (n - 5.5)) - 100) / 2000 for n in range(6, 14)]
    flat = [0.105 + (n - 13) / 200 for n in range(14, 192)]
    assert found == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05, *ramp, *flat], abs=CLOSE)


def test_mmpp_changes_its_rate_with_its_state(simulate: Simulate) -> None:
    mmpp = {"rates": ["20/s", "200/s"], "mean_times": ["100ms", "50ms"]}
    found = starts(simulate, arrivals={"mmpp": mmpp})
    stays = [
        (0.1, 0.05)[m % 2] * -log1p(-random.u01(key(0, m), random.STATE)) for m in range(200)
    ]  # the rate integrated over them, then inverted
    edges = np.concatenate(([0.0], np.cumsum(stays)))
    area = np.concatenate(([0.0], np.cumsum([stay * (20, 200)[m % 2] for m, stay in enumerate(stays)])))
    due = np.cumsum([-log1p(-random.u01(key(0, n), random.GAP)) for n in range(300)])
    expected = np.interp(due, area, edges)
    assert found == pytest.approx(expected[expected < 1].tolist(), abs=CLOSE)


def test_users_think_then_wait(simulate: Simulate) -> None:
    records = simulate(scene(duration="60ms", load=[{"to": "a", "users": 1, "think": "5ms"}]))
    assert records.requests.start == pytest.approx([0.005, 0.022, 0.039, 0.056], abs=CLOSE)
    check(records, [OK] * 4)


def test_users_draw_their_thinking(simulate: Simulate) -> None:
    load = {"to": "a", "users": 3, "think": {"exponential": "30ms"}}
    first = sorted(0.03 * -log1p(-random.u01(key(0, user, 0), random.THINK)) for user in range(3))
    assert starts(simulate, **load)[:1] == pytest.approx(first[:1], abs=CLOSE)


# ---- the other tables -------------------------------------------------------------------------------------


def test_busy_and_queued_integrals(simulate: Simulate) -> None:
    records = simulate(scene(0, 1, 2, a=ONE))
    assert busy(records) == pytest.approx(30)
    assert records.queued.sum() * 1000 == pytest.approx(9 + 18)
    width = records.grid.width * 1000  # all within the first bins: busy from 1 to 31
    full = [max(0.0, min(31, (n + 1) * width) - max(1, n * width)) for n in range(records.grid.last)]
    assert records.busy[0] * 1000 == pytest.approx(full)


def test_calls_and_attempts_of_a_retried_request(simulate: Simulate) -> None:
    policy = retries()
    records = simulate(
        scene(
            0,
            a={"script": [{"call": "b"}]},
            others={"b": {"time": "5ms"}},
            policy=policy,
            events=[fails(0, 11.5)],
        )
    )
    assert records.edges == [("client", "a"), ("a", "b")]
    attempts, calls = records.attempts, records.calls
    assert attempts.kind.tolist() == [0, 1, 0]
    assert attempts.extra.tolist() == [False, True, True]
    assert attempts.status.tolist() == [500, 200, 200]
    assert attempts.sent * 1000 == pytest.approx([0, 12, 23])
    assert attempts.arrived * 1000 == pytest.approx([1, 13, 24])
    assert attempts.answered * 1000 == pytest.approx([11, 30, 29])
    assert attempts.ended * 1000 == pytest.approx([12, 31, 30])
    assert attempts.edge.tolist() == [0, 0, 1]
    assert calls.extra.tolist() == [False, True]
    assert calls.end * 1000 == pytest.approx([31, 30])
    assert (calls.request_start == 0).all()


LIMIT_3 = {"circuit_breaker": {"max_connections": 3}}
HALF = {"outlier_detection": OUTLIER | {"max_ejection_percent": 0.5}}


def first_of_two() -> str:
    """The replica that round robin picks first."""
    return f"a/{floor(random.u01(key(random.PROXIES, 0), random.START) * 2)}"


def test_an_ejected_host_loses_its_connections(simulate: Simulate) -> None:
    """It had two of the three; the fourth request waits for the other host's one, the fifth need not."""
    errors = [fails(0, 1_000, replica=first_of_two())]
    records = simulate(scene(0, 1, 2, 3, 20, a={"replicas": 2}, policy=LIMIT_3 | HALF, events=errors))
    check(records, [(12, 500, "", 1), OK, (12, 500, "", 1), (22, 200, "", 1), OK])


@pytest.mark.parametrize("at", [20, 11.5], ids=["idle", "its answers on their way"])
def test_a_dead_host_loses_its_connections(simulate: Simulate, at: float) -> None:
    """It had two of the three; so the second request that goes to the other host later need not wait."""
    gone = [down(at, at + 0.3, first_of_two())]
    records = simulate(scene(0, 0.1, 0.2, 30, 31, 32, a={"replicas": 2}, policy=LIMIT_3, events=gone))
    check(records, [OK] * 6)


def test_ejections_are_listed(simulate: Simulate) -> None:
    scenario = scene(0, a=ALWAYS, policy={"outlier_detection": OUTLIER})
    records = simulate(scenario)
    ((time, edge, replica),) = records.ejections
    assert time == pytest.approx(0.012)
    assert (edge, replica) == (0, 0)
    a = summarise([records], scenario).as_dict()["services"]["a"]
    assert (a["ejections"], a["replicas"][0]["ejections"]) == (1, 1)


# Two attempts arrive at 1 and 3 and are given up at 10 and 12. The work done, and when it ends at the callee:
ABANDONED = {
    "finish": (40, [21, 41]),
    "leave_queue": (20, [21, 13]),
    "stop": (12, [11, 13]),
}


@pytest.mark.parametrize("when", ABANDONED)
def test_abandoned_work(simulate: Simulate, when: str) -> None:
    work, ends = ABANDONED[when]
    a = {"workers": 1, "time": "20ms", "when_abandoned": when}
    records = simulate(scene(0, 2, a=a, policy={"timeout": "10ms"}))
    check(records, [(10, 504, "UT", 1), (10, 504, "UT", 1)])
    assert busy(records) == pytest.approx(work)
    assert records.attempts.answered * 1000 == pytest.approx(ends)
    assert records.attempts.status.tolist() == [-1, -1]
    assert records.attempts.ended * 1000 == pytest.approx([10, 12])


def test_an_answer_that_passes_the_sidecar_is_an_answer(simulate: Simulate) -> None:
    """It is there at 14 and out at 17; the notice of 15.5 arrives between."""
    mesh = {"dataplane": "sidecar", "proxy": {"time": "3ms"}}
    records = simulate(scene(0, a={"when_abandoned": "stop"}, mesh=mesh, policy={"timeout": "15.5ms"}))
    assert records.attempts.status.tolist() == [200]
    assert records.attempts.answered[0] * 1000 == pytest.approx(17)


def test_the_loser_of_a_race_is_told(simulate: Simulate) -> None:
    """The hedge of 20 wins at 32; the first try, at work since 1, stops at 33."""
    a = {"when_abandoned": "stop"}
    records = simulate(scene(0, a=a, policy={"hedge": {"after": "20ms"}}, events=[slow(0, 5, 10)]))
    assert busy(records) == pytest.approx(32 + 10)
    assert records.attempts.kind.tolist() == [0, 2]
    assert records.attempts.answered * 1000 == pytest.approx([33, 31])
    assert records.attempts.ended * 1000 == pytest.approx([32, 32])


def test_a_call_is_cancelled_in_its_delay(simulate: Simulate) -> None:
    records = simulate(
        scene(
            0,
            a=CHAIN,
            others=SLOW_B,
            policies={"a": {"timeout": "10ms"}, "b": {"fault": {"delay": {"time": "100ms"}}}},
        )
    )
    assert records.calls.status.tolist() == [504, -1]
    assert records.calls.end * 1000 == pytest.approx([10, 11])
    assert len(records.attempts.sent) == 1


def test_a_notice_does_not_overtake_its_attempt(simulate: Simulate) -> None:
    slow_out = {"at": "0ms", "for": "1ms", "link": "client -> a", "latency_factor": 50}
    records = simulate(scene(0, a={"when_abandoned": "stop"}, policy={"timeout": "5ms"}, events=[slow_out]))
    assert records.attempts.arrived[0] * 1000 == pytest.approx(50)
    assert records.attempts.answered[0] * 1000 == pytest.approx(50)
    assert busy(records) == pytest.approx(0)


def test_what_is_lost_and_abandoned_is_never_sent_again(simulate: Simulate) -> None:
    lossy = {"at": "0ms", "for": "100ms", "link": "client -> a", "loss": 1.0}
    records = simulate(scene(0, policy={"timeout": "150ms"}, events=[lossy]))
    check(records, [(150, 504, "UT", 1)])
    assert isnan(records.attempts.arrived[0])
    assert isnan(records.attempts.answered[0])
    assert busy(records) == 0


CHAIN = {"script": [{"call": "b"}], "time": "5ms", "when_abandoned": "stop"}  # b is called at 6, reached at 7
SLOW_B = {"b": {"time": "100ms", "when_abandoned": "stop"}}


def test_stopping_work_cancels_its_calls(simulate: Simulate) -> None:
    """Given up at 20: `a` stops at 21, `b` at 22."""
    records = simulate(scene(0, a=CHAIN, others=SLOW_B, policy={"timeout": "20ms"}))
    assert records.calls.status.tolist() == [504, -1]
    assert records.calls.end * 1000 == pytest.approx([20, 21])
    assert records.attempts.answered * 1000 == pytest.approx([21, 22])
    assert records.busy.sum(axis=1) * 1000 == pytest.approx([20, 15])


def test_going_down_cancels_calls(simulate: Simulate) -> None:
    """`a` goes at 10, `b` is told at 11."""
    records = simulate(scene(0, a=CHAIN, others=SLOW_B, events=[down(10, 20)]))
    check(records, [(11, 503, "UC", 1)])
    assert records.calls.status.tolist() == [503, -1]
    assert records.attempts.status.tolist() == [503, -1]
    assert records.busy.sum(axis=1) * 1000 == pytest.approx([9, 4])


def test_a_sidecar_finishes_what_it_has(simulate: Simulate) -> None:
    """Given up at 2.5, known at 3.5: dropped when the pass ends at 4; the second one's pass ends at 7."""
    mesh = {"dataplane": "sidecar", "proxy": {"time": "3ms", "workers": 1}}
    a = {"when_abandoned": "leave_queue"}
    records = simulate(scene(0, 2, a=a, mesh=mesh, policy={"timeout": "2.5ms"}))
    assert records.attempts.answered * 1000 == pytest.approx([4, 7])
    assert busy(records) == 0


def test_unfinished_runs_say_so(simulate: Simulate) -> None:
    scenario, _ = CASES["unfinished"]
    assert not simulate(scenario).complete
    assert simulate(CASES["plain"][0]).complete


def test_the_seed_may_be_given(simulate: Simulate) -> None:
    load = [{"to": "a", "rate": "100/s"}]
    records = simulate(scene(load=load), 7)
    assert records.seed == 7
    assert records.requests.start[0] != simulate(scene(load=load)).requests.start[0]


# ---- the reference model's own ----------------------------------------------------------------------------


def test_it_names_itself() -> None:
    assert reference.simulate(scene(0)).engine == "reference"


def test_interrupted_runs_return_what_there_is() -> None:
    def stop(now: float) -> None:
        raise KeyboardInterrupt

    records = reference.simulate(scene(load=[{"to": "a", "rate": "2000/s"}]), progress=stop)
    assert not records.complete
    assert records.interrupted
    assert 0 < len(records.requests.start) < 2000


STORM = {
    "duration": "10s",
    "services": {
        "a": {
            "replicas": 2, "workers": 6, "queue": 20, "time": {"exponential": "4ms"},
            "when_abandoned": "stop",
            "script": [
                [{"call": "b"}, {"call": "c", "optional": True, "probability": 0.5}],
                {"sleep": {"exponential": "2ms"}},
                [{"call": "b"}, {"call": "b"}],
            ],
        },
        "b": {
            "versions": {"v1": {"replicas": 2}, "v2": {"replicas": 1}}, "workers": 2, "queue": 3,
            "time": {"exponential": "20ms"}, "errors": 0.05,
            "when_abandoned": "leave_queue", "discipline": "lifo",
        },
        "c": {
            "time": {"exponential": "20ms"}, "holds_worker": False, "workers": 1,
            "discipline": "priority", "script": [{"call": "d"}],
        },
        "d": {"time": {"exponential": "5ms"}},
    },
    "mesh": {
        "dataplane": "sidecar", "proxy": {"time": {"exponential": "1ms"}, "workers": 1}, "push_delay": "50ms",
    },
    "links": {"default": {"latency": {"exponential": "1ms"}, "loss": 0.01}},
    "policies": {
        "a": {
            "timeout": "300ms", "hedge": {"after": "60ms", "max": 2},
            "rate_limit": {"burst": 10, "rate": "70/s"},
            "retries": {"attempts": 2, "budget": {"ratio": 0.1, "min_per_second": 1}},
        },
        "b": {
            "timeout": "150ms", "balance": "least_request", "split": {"v1": 70, "v2": 30},
            "hedge": {"after": "50ms"},
            "retries": {
                "attempts": 3, "per_try_timeout": "60ms", "budget": {"ratio": 0.2, "min_concurrency": 1},
            },
            "circuit_breaker": {"max_connections": 3, "max_pending": 4, "max_requests": 3},
            "outlier_detection": {
                "consecutive_5xx": 2, "interval": "500ms", "base_ejection_time": "500ms",
                "max_ejection_percent": 1.0, "min_health_percent": 0.6, "merge_window": "300ms",
            },
        },
        "c": {
            "retries": {"attempts": 1}, "circuit_breaker": {"max_retries": 0, "max_requests": 8},
            "fault": {
                "delay": {"percent": 0.1, "time": {"exponential": "20ms"}},
                "abort": {"percent": 0.1, "status": 500},
            },
            "outlier_detection": {
                "consecutive_5xx": 1, "interval": "500ms", "base_ejection_time": "500ms",
                "max_ejection_percent": 1.0,
            },
        },
        "d": {"retries": {"attempts": 3, "per_try_timeout": "10ms"}},
    },
    "load": [
        {"to": "a", "rate": "60/s"},
        {"to": "a", "users": 10, "think": {"exponential": "0.3s"}, "priority": 2},
    ],
    "events": [
        {"at": "1s", "for": "1s", "replica": "a/1", "down": True},
        {"at": "3s", "for": "1s", "replica": "b/v1/0", "down": True},
        {"at": "5s", "for": "1s", "service": "b", "slow": 3, "errors": 0.5},
        {"at": "6.5s", "for": "1s", "link": "a -> b", "loss": 0.3, "latency_factor": 3},
        {"at": "8s", "for": "1s", "service": "d", "errors": 0.9},
        {"at": "9s", "set": {"policies.b.split": {"v1": 10, "v2": 90}, "policies.b.balance": "random"}},
    ],
}  # fmt: skip


TURNOVER: dict[str, Any] = {
    "name": "turnover",
    "duration": "20s",
    "services": {
        "a": {
            "replicas": 2, "workers": 4, "time": {"exponential": "8ms"}, "errors": 0.1, "keep_alive": "30ms",
        },
    },
    "links": {
        "default": {"latency": {"exponential": "2ms"}, "loss": 0.03, "connect": {"exponential": "8ms"}},
    },
    "policies": {
        "a": {
            "timeout": "400ms", "retries": {"attempts": 1},
            "connection": {
                "connect_timeout": "20ms", "idle_timeout": "29ms", "max_requests": 4, "max_age": "60ms",
            },
            "circuit_breaker": {"max_connections": 6},
            "outlier_detection": {
                "consecutive_5xx": 3, "interval": "200ms", "base_ejection_time": "200ms",
                "max_ejection_percent": 1.0,
            },
        },
    },
    "load": [{"to": "a", "rate": "80/s"}],
    "events": [{"at": "2s", "for": "3s", "replica": "a/1", "down": True}],
}  # fmt: skip
"""Connections that open, fail, and end in every way."""

SECURED: dict[str, Any] = {
    "name": "secured",
    "duration": "20s",
    "services": {
        "a": {
            "replicas": 3, "workers": 4, "time": {"exponential": "8ms"},
            "script": [{"call": "b", "optional": True}, {"call": "c", "optional": True}],
        },
        "b": {"sidecar": False, "time": {"exponential": "5ms"}, "script": [{"call": "c"}]},
        "c": {"replicas": 2, "time": {"exponential": "5ms"}, "mtls": "permissive"},
    },
    "mesh": {
        "dataplane": "sidecar", "proxy": {"time": {"exponential": "0.2ms"}},
        "push_delay": {"exponential": "100ms"},
        "mtls": {
            "mode": "strict", "handshake": {"exponential": "4ms"}, "certificate_ttl": "400ms",
            "rotate_at": 0.8, "jitter": 0.1,
            "ca": {"time": {"exponential": "20ms"}, "workers": 1, "retry": {"base": "20ms", "max": "100ms"}},
        },
    },
    "links": {"default": {"latency": {"exponential": "2ms"}}},
    "policies": {
        "a": {"connection": {"connect_timeout": "30ms", "max_requests": 2}, "retries": {"attempts": 1}},
        "c": {"connection": {"max_requests": 1}},
    },
    "access": [
        {"allow": {"to": "a", "from": ["client"]}},
        {"deny": {"to": "c", "not_from": "*"}},
    ],
    "load": [{"to": "a", "rate": "60/s"}],
    "events": [
        *({"at": f"{at}s", "for": "300ms", "component": "ca", "down": True} for at in (2, 4, 6.1)),
        *({"at": f"{at}s", "component": "ca", "rotate_root": True} for at in (3, 8)),
        {"at": "9s", "component": "ca", "rotate_root": True, "overlap": "200ms"},
        *(
            {"at": f"{at / 100}s", "for": f"{lasts}ms", "service": "a", "down": True}
            for start in range(1000, 1500, 20)
            for at, lasts in ((start, 50), (start + 6, 20))
        ),
        *(
            {"at": f"{at / 10}s", "set": {"mesh.mtls.mode": mode, "services.c.mtls": mode}}
            for start in (160, 170, 180)
            for at, mode in ((start, "disable"), (start + 5, "strict"))
        ),
        {"at": "19s", "set": {"access": []}},
    ],
}  # fmt: skip
"""Certificates that live shortly, a CA that is slow, or down, roots that change, modes that are pushed."""

ROLLING: dict[str, Any] = {
    "name": "rolling",
    "duration": "20s",
    "services": {
        "a": {
            "replicas": 4, "workers": 4, "time": {"exponential": "8ms"}, "startup": "150ms", "drain": "30ms",
            "script": [{"call": "b", "optional": True}],
        },
        "b": {"versions": {"v1": {"replicas": 3}, "v2": {"replicas": 1}}, "time": {"exponential": "8ms"}},
    },
    "mesh": {
        "push_delay": {"exponential": "150ms"},
        "control_plane": {
            "debounce": "60ms", "debounce_max": "100ms", "time": {"exponential": "30ms"}, "workers": 1,
            "ordered": False,
        },
    },
    "links": {"default": {"latency": {"exponential": "2ms"}}},
    "policies": {
        "a": {"timeout": "100ms", "retries": {"attempts": 1}, "outlier_detection": {"consecutive_5xx": 3}},
        "b": {"split": {"v1": 1}},
    },
    "load": [{"to": "a", "rate": "100/s"}],
    "events": [
        {"at": "1s", "service": "a", "restart": {"surge": 1}},
        {"at": "3s", "service": "a", "restart": {"surge": 2, "unavailable": 1}},
        {"at": "3.1s", "service": "a", "restart": {"surge": 2, "unavailable": 1}},
        {"at": "5s", "set": {"policies.b.timeout": "1s"}, "nack": ["a"]},
        {"at": "5.5s", "set": {"policies.b.timeout": "2s"}},
        {"at": "6s", "set": {"policies.b.split": {"v1": 1, "v2": 2}}},
        *({"at": f"{at}s", "for": "300ms", "component": "control_plane", "down": True} for at in (7, 9, 11)),
        *({"at": f"{at}s", "set": {"policies.a.timeout": "90ms"}} for at in (6.98, 8.85, 10.9, 11.1)),
        *({"at": f"{12 + n / 50}s", "set": {"policies.a.timeout": f"{80 + n}ms"}} for n in range(10)),
        {"at": "8.9s", "service": "a", "replicas": 5},
        {"at": "9.1s", "service": "a", "replicas": 7},
        {"at": "9.2s", "service": "a", "replicas": 6},
        {"at": "14s", "service": "a", "replicas": 0},
        {"at": "16s", "service": "a", "replicas": 4},
    ],
}  # fmt: skip
"""Replicas that come and go, and proxies that disagree about them."""


def test_storms_draw_every_mechanism_and_leave_nothing_behind() -> None:
    worlds = [
        reference.World(Scenario.model_validate(each), 1) for each in (STORM, TURNOVER, SECURED, ROLLING)
    ]
    did: Counter[str] = Counter()
    for world in worlds:
        leaves_nothing_behind(world)
        did += world.did
    assert set(+did) == set(reference.MECHANISMS)


def leaves_nothing_behind(world: reference.World) -> None:
    assert world.run()
    for caller in world.callers:
        for upstream in caller.upstreams.values():
            for cluster in upstream.clusters.values():
                assert (cluster.active, cluster.pending, cluster.slots) == (0, 0, 0)
                assert cluster.connections == sum(len(host.idle) for host in cluster.hosts.values())
    for replica in world.replicas.values():
        assert not replica.held
        assert (replica.station.busy, replica.station.waiting) == (0, [])
        assert replica.caller.sidecar.station.busy == 0
    attempts = world.records(complete=True, interrupted=False).attempts
    assert not np.isnan(attempts.ended).any()
    assert (attempts.ended >= attempts.sent).all()


def test_two_runs_are_alike() -> None:
    scenario = Scenario.model_validate(STORM | {"duration": "1s", "events": []})
    one, two = reference.simulate_counting(scenario), reference.simulate_counting(scenario)
    assert one[1] == two[1]
    np.testing.assert_array_equal(one[0].requests.end, two[0].requests.end)
    np.testing.assert_array_equal(one[0].busy, two[0].busy)
