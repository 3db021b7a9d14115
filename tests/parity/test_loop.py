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
from scripted import Caller, Plot, scripts
from test_forms import assert_same
from virtual import VirtualLoop, simulate, virtual_clock

from meshsim.engine import simulate as on_simpy
from meshsim.engine.clock import SimPyClock
from meshsim.engine.fast import simulate as on_the_heap
from meshsim.engine.heap import HeapClock
from meshsim.mesh.clock import Clock
from meshsim.scenario import load
from meshsim.scenario.model import Scenario
from scenarios import Document, on_grid, scenarios

SHIPPED = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))


def same(mine: Any, theirs: Any) -> None:
    """Two runs, of which the events that were fired after the last that mattered may differ in number.

    So may what becomes of idle connections at that instant.
    """
    end = min(mine.end, theirs.end)
    for run in (mine, theirs):
        run.connections = [each for each in run.connections if each[0] < end]
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


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios(), st.booleans())
def test_much_at_one_instant(document: Document, ideal: bool) -> None:
    scenario = Scenario.model_validate(on_grid(document))
    expected = on_simpy(scenario)
    same(simulate(scenario, ideal), expected)
    fast = on_the_heap(scenario)
    fast.engine = expected.engine
    same(fast, expected)


@pytest.mark.long
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios(), st.booleans())
def test_many_generated_scenarios_on_a_loop(document: Document, ideal: bool) -> None:
    scenario = Scenario.model_validate(document)
    same(simulate(scenario, ideal), on_simpy(scenario))


# ---- the caller's half, with connections that take their time ------------------------------------------


def decided_on_simpy(plot: Plot, seed: int) -> list[Any]:
    env = simpy.Environment()
    return _decided(SimPyClock(env), plot, seed, lambda: env.run(until=1e4))


def decided_on_a_heap(plot: Plot, seed: int) -> list[Any]:
    clock = HeapClock()

    def run() -> None:
        while clock.now < 1e4:
            clock.run(1e4, 1000)

    return _decided(clock, plot, seed, run)


def decided_on_a_loop(plot: Plot, seed: int, ideal: bool) -> list[Any]:
    loop = VirtualLoop()

    def run() -> None:
        loop.call_at(1e4, loop.stop)
        loop.run_forever()

    try:
        return _decided(virtual_clock(loop, ideal), plot, seed, run)
    finally:
        loop.close()


def _decided(clock: Clock, plot: Plot, seed: int, run: Callable[[], Any]) -> list[Any]:
    caller = Caller(clock, plot, seed)
    caller.begin()
    run()
    caller.check_at_rest()
    assert sum(decision[1] == "answer" for decision in caller.decisions) > 0
    return caller.decisions


def agree(plot: Plot, seed: int, ideal: bool) -> set[str]:
    """Asserts that all clocks lead to the same decisions; what kinds there were, and flags of answers."""
    expected = decided_on_simpy(plot, seed)
    assert decided_on_a_heap(plot, seed) == expected
    assert decided_on_a_loop(plot, seed, ideal) == expected
    kinds = {decision[1] for decision in expected}
    for _, kind, _, what in expected:
        if kind == "answer":
            kinds.update(what[1].split(","))
    return kinds


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts(), st.integers(0, 1 << 30), st.booleans())
def test_scripted_outcomes_lead_to_the_same_decisions(plot: Plot, seed: int, ideal: bool) -> None:
    agree(plot, seed, ideal)


KINDS = (
    "open", "send", "abandon", "answer", "eject", "DI", "FI", "RL", "UC", "UF", "UH", "UO", "URX", "UT",
)  # fmt: skip
"""What must have been decided in many scripts."""


@pytest.mark.long
def test_every_kind_of_decision_has_been_compared() -> None:
    seen: dict[str, int] = {}

    @settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(scripts(), st.integers(0, 1 << 30), st.booleans())
    def many(plot: Plot, seed: int, ideal: bool) -> None:
        for kind in agree(plot, seed, ideal):
            seen[kind] = seen.get(kind, 0) + 1

    many()
    assert {kind for kind in KINDS if seen.get(kind, 0) < 50} == set(), seen
