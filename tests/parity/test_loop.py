"""The live body's clock against SimPy's: the same mesh decides the same, to the last bit.

What differs between the simulator and the live proxy is the clock and the transport. Here it is the clock
alone: whole meshes, with simulated links and replicas, run on an asyncio loop whose time is made up; then the
caller's half with a transport whose connections open late or not at all, as sockets do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import simpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from scripted import Caller, scripts
from test_forms import assert_same
from virtual import VirtualLoop, simulate, virtual_clock

from meshsim.engine import simulate as on_simpy
from meshsim.engine.clock import SimPyClock
from meshsim.mesh.clock import Clock
from meshsim.scenario import load
from meshsim.scenario.model import Scenario
from scenarios import Document, scenarios

SHIPPED = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))


def same(mine: Any, theirs: Any) -> None:
    """Two runs, of which the events that were fired after the last that mattered may differ in number."""
    mine.events = theirs.events = 0
    mine.end = theirs.end = 0.0
    assert_same(mine, theirs)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_scenario_on_a_loop(file: Path) -> None:
    scenario = load(file)
    same(simulate(scenario), on_simpy(scenario))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios())
def test_a_generated_scenario_on_a_loop(document: Document) -> None:
    scenario = Scenario.model_validate(document)
    same(simulate(scenario), on_simpy(scenario))


@pytest.mark.long
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios(), st.booleans())
def test_many_generated_scenarios_on_a_loop(document: Document, ideal: bool) -> None:
    scenario = Scenario.model_validate(document)
    same(simulate(scenario, ideal), on_simpy(scenario))


# ---- the caller's half, with connections that take their time ------------------------------------------


def decided_on_simpy(document: Document, seed: int) -> list[Any]:
    env = simpy.Environment()
    return _decided(SimPyClock(env), document, seed, lambda: env.run(until=1e4))


def decided_on_a_loop(document: Document, seed: int, ideal: bool) -> list[Any]:
    loop = VirtualLoop()

    def run() -> None:
        loop.call_at(1e4, loop.stop)
        loop.run_forever()

    try:
        return _decided(virtual_clock(loop, ideal), document, seed, run)
    finally:
        loop.close()


def _decided(clock: Clock, document: Document, seed: int, run: Callable[[], Any]) -> list[Any]:
    caller = Caller(clock, Scenario.model_validate(document), seed)
    caller.begin()
    run()
    caller.check_at_rest()
    assert sum(decision[1] == "answer" for decision in caller.decisions) > 0
    return caller.decisions


def agree(document: Document, seed: int, ideal: bool) -> set[str]:
    """Asserts that both clocks lead to the same decisions; what kinds there were."""
    expected = decided_on_simpy(document, seed)
    found = decided_on_a_loop(document, seed, ideal)
    assert found == expected
    return {decision[1] for decision in expected}


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts(), st.integers(0, 1 << 30), st.booleans())
def test_scripted_outcomes_lead_to_the_same_decisions(document: Document, seed: int, ideal: bool) -> None:
    agree(document, seed, ideal)


@pytest.mark.long
def test_every_kind_of_decision_has_been_compared() -> None:
    seen: dict[str, int] = {}

    @settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(scripts(), st.integers(0, 1 << 30), st.booleans())
    def many(document: Document, seed: int, ideal: bool) -> None:
        for kind in agree(document, seed, ideal):
            seen[kind] = seen.get(kind, 0) + 1

    many()
    assert all(seen.get(kind, 0) > 100 for kind in ("open", "send", "abandon", "answer", "eject")), seen
