"""Running a scenario on the fast engine: the same mesh, compiled, on an event heap of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from meshsim.engine.body import Body
from meshsim.engine.heap import HeapClock
from meshsim.forms import FORM
from meshsim.measure.measurements import Measurements
from meshsim.mesh.clock import Event
from meshsim.scenario.machines import BalancerFactory, RetryRuleFactory
from meshsim.scenario.model import Scenario

CHUNK = 50_000 if FORM.compiled else 5_000
"""Events between two looks at the user, who may have pressed Ctrl-C: some hundredths of a second."""


class FastSimulation(Body):
    """One run on the fast engine; its arguments are those of `Simulation`."""

    engine = "fast"

    def __init__(
        self,
        scenario: Scenario,
        seed: int | None = None,
        *,
        balancers: Mapping[str, BalancerFactory] | None = None,
        retry_rules: Mapping[str, RetryRuleFactory] | None = None,
    ) -> None:
        self.clock = HeapClock()
        super().__init__(scenario, seed, self.clock, balancers, retry_rules)

    @property
    def now(self) -> float:
        return self.clock.now

    @property
    def events(self) -> int:
        return self.clock.events

    def unschedule(self) -> list[Event | None]:
        return self.clock.clear()

    def advance(self, until: float) -> bool:
        self.clock.run(until, CHUNK)
        return self.clock.stopped


def simulate(
    scenario: Scenario,
    seed: int | None = None,
    *,
    progress: Callable[[float], None] | None = None,
    balancers: Mapping[str, BalancerFactory] | None = None,
    retry_rules: Mapping[str, RetryRuleFactory] | None = None,
) -> Measurements:
    """Simulates a scenario once; the arguments are those of `meshsim.engine.simulate`, less `processes`."""
    return FastSimulation(scenario, seed, balancers=balancers, retry_rules=retry_rules).run(progress)
