"""Running a scenario on SimPy."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import simpy

from meshsim.engine.body import Body
from meshsim.engine.clock import Occurrence, SimPyClock
from meshsim.measure.measurements import Measurements
from meshsim.mesh.clock import Event
from meshsim.plain import converted
from meshsim.scenario.load import load
from meshsim.scenario.machines import BalancerFactory, RetryRuleFactory
from meshsim.scenario.model import Scenario

UserProcess = Callable[["Simulation"], Generator[simpy.Event, Any, Any]]
"""Makes a process of the user's own, that sees the mesh and shares its time."""


class Simulation(Body):
    """One run that its user can look into, and take part in.

    Processes of the user's own, started with ``simulation.env.process(...)`` before `run`, share the mesh's
    time; they see the mesh in ``simulation.mesh`` (``simulation.mesh.replicas["cart/0"].queue.length``).

    Args:
        scenario: what to simulate; a file's path, or a scenario.
        seed: instead of the scenario's.
        balancers: by service, a class or function that makes a new `Balancer`; called for each caller proxy.
        retry_rules: by service, likewise, a `RetryRule`.

    Attributes:
        env: the SimPy environment; nothing happens in it once the simulation is gone.
        mesh: the mesh.
    """

    engine = "simpy"

    @converted
    def __init__(
        self,
        scenario: str | Path | Scenario,
        seed: int | None = None,
        *,
        balancers: Mapping[str, BalancerFactory] | None = None,
        retry_rules: Mapping[str, RetryRuleFactory] | None = None,
    ) -> None:
        self.env = simpy.Environment()
        self.clock = SimPyClock(self.env)
        super().__init__(load(scenario), seed, self.clock, balancers, retry_rules)

    @property
    def now(self) -> float:
        return float(self.env.now)

    @property
    def events(self) -> int:
        return self.clock.fired

    def unschedule(self) -> list[Event | None]:
        occurrences = [each for *_, each in self.clock._queue if isinstance(each, Occurrence)]
        self.clock._queue.clear()
        return [each.event for each in occurrences]

    def advance(self, until: float) -> bool:
        return self.env.run(until=until) is True


def simulate(
    scenario: Scenario,
    seed: int | None = None,
    *,
    progress: Callable[[float], None] | None = None,
    balancers: Mapping[str, BalancerFactory] | None = None,
    retry_rules: Mapping[str, RetryRuleFactory] | None = None,
    processes: Sequence[UserProcess] = (),
) -> Measurements:
    """Simulates a scenario once; the arguments are those of `Simulation`, and two more.

    `progress` is called with the simulated time now and then, s; each of `processes`, which are the user's
    own, with the `Simulation`: it returns a process's generator.
    """
    simulation = Simulation(scenario, seed, balancers=balancers, retry_rules=retry_rules)
    for process in processes:
        simulation.env.process(process(simulation))
    try:
        return simulation.run(progress)
    finally:
        simulation.discard()
