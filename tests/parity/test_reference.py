"""The engine against the reference model: two tellings of the same mesh, equal to 1e-9 s."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from meshsim.engine import simulate
from meshsim.reference import simulate_counting
from meshsim.scenario.model import Scenario

sys.path.insert(0, str(Path(__file__).parent))
from agreement import assert_agree

from scenarios import Document, scenarios

MUST_ACT = {
    "retry", "hedge", "per-try timeout", "route timeout", "URX", "UO", "UO: no retry", "UH", "UF", "UC",
    "ejection", "let back", "panic pick", "refused: max_retries", "refused: envoy budget",
    "refused: linkerd budget", "push", "rate limited", "fault delay", "fault abort",
    "abandoned: finish", "abandoned: leave_queue", "abandoned: stop", "dropped from queue",
    "dropped from sidecar", "stopped in service", "cancelled call", "lost when down", "pending",
    "left pending", "queue full", "resend", "resend stopped", "optional failure", "call not taken",
    "failure dropped", "lifo overtakes", "priority overtakes", "own error", "idle connection closed",
    "busy connection closed", "stale pick",
}  # fmt: skip
"""What must have happened at least a hundred times over the long run."""


def check(document: Document, acted: Counter[str]) -> None:
    scenario = Scenario.model_validate(document)
    expected, counted = simulate_counting(scenario)
    assert_agree(simulate(scenario), expected)
    acted += counted


def run(examples: int) -> Counter[str]:
    acted: Counter[str] = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # a failure is shown as it was found: to shrink one takes minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios())
    def property_(document: Document) -> None:
        check(document, acted)

    property_()
    return acted


def test_engine_and_reference_agree() -> None:
    acted = run(40)
    print(sorted(acted.items()))
    assert acted["retry"] > 100


@pytest.mark.long
def test_engine_and_reference_agree_on_hundreds_and_every_mechanism_acts() -> None:
    acted = run(600)
    print(sorted(acted.items()))
    assert {name for name in MUST_ACT if acted[name] < 100} == set()


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
