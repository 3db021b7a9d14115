"""The engine against the reference model: two tellings of the same mesh, equal to 1e-9 s."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from meshsim.engine import simulate
from meshsim.reference import simulate_counting
from meshsim.scenario.model import Scenario

sys.path.insert(0, str(Path(__file__).parent))
from agreement import assert_agree

from scenarios import Document, on_grid, scenarios

MUST_ACT = {
    "retry", "hedge", "per-try timeout", "route timeout", "URX", "UO", "UO: no retry", "UH", "UF", "UC",
    "ejection", "let back", "panic pick", "refused: max_retries", "refused: envoy budget",
    "refused: linkerd budget", "push", "rate limited", "fault delay", "fault abort",
    "abandoned: finish", "abandoned: leave_queue", "abandoned: stop", "dropped from queue",
    "dropped from sidecar", "stopped in service", "cancelled call", "lost when down", "pending",
    "left pending", "queue full", "resend", "resend stopped", "optional failure", "call not taken",
    "failure dropped", "lifo overtakes", "priority overtakes", "own error", "idle connection closed",
    "busy connection closed", "stale pick", "endpoint", "repeated call", "rate limited by its own",
    "gateway ejection", "always one",
    "retriable status", "host picked again",
    "connection opened", "connect failed", "connect timeout", "several failed to connect",
    "idle timeout", "max requests", "max age: idle", "max age: busy", "server closed idle",
    "server closed behind an answer", "keep-alive race",
    "shut", "ignored while shut", "probe", "probe failed", "probe given up", "reopened",
    "ewma: second drawn", "ewma: peak", "back-off with jitter added",
    "handshake", "handshake timed out", "untrusted", "rejected", "plaintext refused", "mode: drained",
    "refused: expired", "refused: old root", "renewal", "certificate signed", "certificate refused",
    "certificate expired", "asked the CA again", "waits for the CA",
    "asking ended by an outage", "restart waits for a certificate", "root rotated", "roots dropped",
    "allowed",
    "refused a configuration", "overtaken", "sent to nobody", "waits for the control plane",
    "kept its place", "change put off a push",
    "push after an outage",
    "host met", "host left", "replica started", "replica ready", "replica left",
    "surge", "unavailable",
}  # fmt: skip
"""What must have happened at least a hundred times over the long run."""
RARE = {
    "success-rate ejection", "refused: no certificate", "handshake without TLS", "signed in vain",
    "denied: rule", "denied: none", "refused when the CA went down",
    "push lost", "queue lost", "configuration lost", "debounce at its most",
    "replaced before it was ready", "left before it was ready", "connected while it was down",
    "back-off cut", "gone host not charged",
    "gone while it waited",
}  # fmt: skip
"""What must have happened five times. Rarer still: the storms of tests/unit/test_timelines.py; `NC`:
tests/unit/test_rollout.py."""


def check(document: Document, acted: Counter[str]) -> None:
    scenario = Scenario.model_validate(document)
    expected, counted = simulate_counting(scenario)
    assert_agree(simulate(scenario), expected)
    acted += counted


def run(examples: int, number: int = 0, at_once: bool = False) -> Counter[str]:
    """Compares generated scenarios; `at_once`: their times on a grid."""
    acted: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a failure is shown as it was found: to shrink one takes minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios())
    def property_(document: Document) -> None:
        check(on_grid(document, ticks=False) if at_once else document, acted)

    property_()
    return acted


def test_engine_and_reference_agree() -> None:
    acted = run(40)
    print(sorted(acted.items()))
    assert acted["retry"] > 100


@pytest.mark.long
def test_engine_and_reference_agree_on_hundreds_and_every_mechanism_acts() -> None:
    acted = run(900)
    print(sorted(acted.items()))
    assert {name for name in MUST_ACT if acted[name] < 100} == set()
    assert {name for name in RARE if acted[name] < 5} == set()


def test_what_happens_at_the_same_instant_has_one_order() -> None:
    acted = run(25, at_once=True)
    print(sorted(acted.items()))
    assert acted["UO"] > 100


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 2])
def test_hundreds_of_scenarios_in_which_all_happens_at_once(number: int) -> None:
    acted = run(150, number, at_once=True)
    assert acted["route timeout"] > 100


HEDGED_WHILE_WAITING: Document = {
    "duration": "1500ms",
    "services": {"mid": {"script": [[{"call": "cart"}]]}, "cart": {"replicas": 4}},
    "load": [{"to": "mid", "profile": [{"at": "0.5s", "rate": "36/s"}]}],
    "mesh": {
        "dataplane": "sidecar",
        "proxy": {
            "time": {"mixture": [{"weight": 1, "pareto": {"mean": "80ms", "shape": 2.2}}]},
            "workers": 2,
        },
    },
    "policies": {
        "mid": {"hedge": {"after": "31.0173ms"}},
        "cart": {
            "timeout": "84.2717ms",
            "retries": {"per_try_timeout": "52.1311ms"},
            "outlier_detection": {
                "consecutive_5xx": 3,
                "interval": "309.3137ms",
                "base_ejection_time": "140.4219ms",
                "max_ejection_percent": "50%",
            },
            "hedge": {"after": "29.0173ms", "max": 2},
        },
    },
}
"""Found by Hypothesis, reduced: a hedge is sent while a retry waits out its back-off, then the route's
time-out fails both. Which host is told first decides which is ejected: tries stand in the order of launch."""


def test_tries_time_out_in_the_order_of_their_launch() -> None:
    check(HEDGED_WHILE_WAITING, Counter())


ABANDONED_AT_A_FULL_ROOM: Document = {
    "duration": "1500ms",
    "services": {
        "back": {"script": [{"call": "leaf"}]},
        "leaf": {
            "workers": 1,
            "queue": 2,
            "when_abandoned": "leave_queue",
            "time": {"gamma": {"mean": "24.486ms", "cv": 0.8}},
        },
    },
    "load": [{"to": "back", "profile": [{"at": "0.5s", "rate": "55/s"}]}],
    "policies": {
        "leaf": {"retries": {"per_try_timeout": "60.1311ms"}, "circuit_breaker": {"max_connections": 2}}
    },
}
"""Found by Hypothesis, reduced: a try times out while it waits in a full room, over a link without latency.
Its notice goes out before its connection is handed on, so the next but one finds room."""


def test_a_notice_goes_out_before_the_next_request() -> None:
    check(ABANDONED_AT_A_FULL_ROOM, Counter())


NO_WAIT: Document = {"per_try_timeout": "5.1311ms", "backoff": {"base": "0ms"}}
ORDERS: dict[str, Document] = {
    "an answer acts before a retry that is due": {
        "duration": "1500ms",
        "services": {
            "back": {
                "script": [
                    [
                        {"sleep": {"gamma": {"mean": "7.081ms", "cv": 0.8}}},
                        {"call": "leaf", "optional": True},
                    ],
                    {"call": "leaf"},
                ]
            },
            "leaf": {"workers": 2, "queue": 10, "time": {"erlang": {"mean": "4.805ms", "k": 3}}},
        },
        "load": [{"to": "back", "rate": "34/s"}],
        "policies": {"back": {"retries": NO_WAIT}, "leaf": {"retries": NO_WAIT}},
    },
    "a try that is refused counts until it is told": {
        "duration": "1500ms",
        "seed": 560,
        "services": {
            "mid": {"replicas": 2, "time": {"gamma": {"mean": "23.867ms", "cv": 0.8}}, "errors": "100%"}
        },
        "load": [
            {"to": "mid", "users": 5, "think": {"sum": [{"gamma": {"mean": "71.001ms", "cv": 0.8}}]}},
            {"to": "mid", "users": 8, "think": {"mixture": [{"weight": 9, "exponential": "60ms"}]}},
        ],
        "policies": {
            "mid": {
                "retries": {"backoff": {"base": "29ms"}, "budget": {}},
                "circuit_breaker": {"max_connections": 2, "max_pending": 2, "max_requests": 1},
                "outlier_detection": {"consecutive_5xx": 2, "max_ejection_percent": "50%"},
                "hedge": {"after": "15.0173ms"},
            }
        },
        "events": [{"at": "120ms", "service": "mid", "down": True}],
    },
    "the steps of a stage start in order": {
        "duration": "1500ms",
        "services": {
            "cart": {
                "script": [
                    [{"call": "back", "optional": True}, {"sleep": "15.625ms"}],
                    [{"call": "back"}, {"call": "back"}],
                ]
            },
            "back": {"workers": 1, "queue": 2, "time": "15.625ms"},
        },
        "load": [{"to": "cart", "rate": "50/s"}],
        "policies": {"back": {"retries": {"per_try_timeout": "15.625ms", "budget": {"ttl": "1s"}}}},
    },
    "who is not trusted fails in an event of its own": {
        "duration": "1500ms",
        "services": {"cart": {"script": [{"call": "leaf"}]}, "leaf": {"keep_alive": "62.5ms"}},
        "load": [{"to": "cart", "rate": "64/s"}],
        "events": [{"at": "203.125ms", "component": "ca", "rotate_root": True}],
        "mesh": {"dataplane": "sidecar", "mtls": {}},
    },
    "a replica that is down refuses all, and not for its being plaintext": {
        "duration": "1500ms",
        "services": {
            "front": {"sidecar": False, "script": [{"call": "cart"}]},
            "cart": {"mtls": "strict"},
        },
        "links": {"default": {"latency": "10ms"}},
        "load": [{"to": "front", "rate": "50/s"}],
        "mesh": {"dataplane": "sidecar", "mtls": {}},
        "events": [{"at": "500ms", "for": "300ms", "service": "cart", "down": True}],
    },
    "the largest wait for a CA bounds the first, too": {
        "duration": "3s",
        "services": {"cart": {}},
        "load": [{"to": "cart", "rate": "4/s"}],
        "events": [{"at": "300ms", "for": "2s", "component": "ca", "down": True}],
        "mesh": {
            "dataplane": "sidecar",
            "mtls": {"certificate_ttl": "1s", "ca": {"retry": {"base": "2s", "max": "100ms"}}},
        },
    },
    "who is down does not go down again": {
        "duration": "3s",
        "services": {"front": {"time": "1ms", "script": [{"call": "cart"}]}, "cart": {"time": "1ms"}},
        "load": [{"to": "front", "rate": "4/s", "arrivals": "constant"}],
        "events": [
            {"at": "1200ms", "for": "1s", "service": "front", "down": True},
            {"at": "1600ms", "for": "100ms", "service": "front", "down": True},
        ],
        "mesh": {"dataplane": "sidecar", "mtls": {"handshake": "400ms"}},
    },
    "an overlap ends before all else": {
        "duration": "1500ms",
        "services": {"cart": {}},
        "policies": {"cart": {"connection": {"max_requests": 1}}},
        "load": [{"to": "cart", "rate": "4/s", "arrivals": "constant"}],
        "events": [{"at": "375ms", "component": "ca", "rotate_root": True, "overlap": "125ms"}],
        "mesh": {"dataplane": "sidecar", "mtls": {}},
    },
}
"""Found by Hypothesis, reduced: where the order within an instant decides."""


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_within_an_instant(name: str) -> None:
    check(ORDERS[name], Counter())


AT_ONCE = {
    "duration": "3s",
    "drain": "20s",
    "services": {
        "front": {
            "workers": 5,
            "time": "4ms",
            "script": [[{"call": "cart"}, {"call": "stock"}], {"call": "cart"}],
        },
        "cart": {"replicas": 2, "workers": 1, "queue": 2, "time": "7ms", "script": [{"call": "stock"}]},
        "stock": {"workers": 2, "queue": 3, "time": "6ms", "errors": "10%", "when_abandoned": "stop"},
    },
    "policies": {
        "cart": {"timeout": "60ms", "retries": {"attempts": 2, "per_try_timeout": "20ms"}},
        "stock": {"retries": {"attempts": 1, "backoff": {"base": "1ms"}}, "hedge": {"after": "9ms"}},
    },
    "load": [{"to": "front", "rate": "90/s"}],
    "events": [{"at": "1s", "for": "200ms", "replica": "cart/0", "down": True}],
}
"""Constant times, and links that take none: much happens at the same instant."""


@pytest.mark.parametrize("changes", [{}, {"mesh": {"dataplane": "sidecar", "proxy": {"time": "1ms"}}}])
def test_links_without_latency_have_one_order(changes: Document) -> None:
    acted: Counter[str] = Counter()
    check({**AT_ONCE, **changes}, acted)
    assert acted["queue full"] > 10
    assert acted["per-try timeout"] > 10
    assert acted["UF"] > 10
