"""The engine against the reference model: two tellings of the same mesh, equal to 1e-9 s."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from meshsim.engine import simulate
from meshsim.reference import simulate_counting
from meshsim.scenario.model import Scenario

sys.path.insert(0, str(Path(__file__).parent))
from agreement import assert_agree

from scenarios import Document, scenarios

MUST_ACT = {
    "retry", "hedge", "per_try_timeout", "route_timeout", "URX", "UO_retry", "UO_breaker", "UH", "ejection",
    "panic", "budget_envoy", "budget_linkerd", "rate_limited", "fault_delay", "fault_abort",
    "abandoned_finish", "abandoned_leave_queue", "abandoned_stop", "queue_full", "UF", "UC",
    "retransmission", "push", "optional_failure", "lifo_overtake", "priority_overtake",
}  # fmt: skip


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
