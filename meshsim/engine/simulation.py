"""Running a scenario on SimPy."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import simpy

from meshsim.engine.build import Builder
from meshsim.engine.clock import SimPyClock
from meshsim.engine.results import records
from meshsim.errors import MeshsimError
from meshsim.measure.records import Records
from meshsim.mesh.mesh import Mesh
from meshsim.scenario.machines import BalancerFactory, Custom, RetryRuleFactory
from meshsim.scenario.model import Scenario

UserProcess = Callable[["Simulation"], Generator[simpy.Event, Any, Any]]
"""Makes a process of the user's own, that sees the mesh and shares its time."""

STEPS = 200
"""How often a run looks up to say how far it is, while requests arrive."""
STEPS_AT_MOST = 10_000
"""In all: the drain may be far longer."""


class Simulation:
    """One run that its user can look into, and take part in.

    Processes of the user's own, started with ``simulation.env.process(...)`` before `run`, share the mesh's
    time; they see the mesh in ``simulation.mesh`` (``simulation.mesh.replicas["cart/0"].queue.length``).

    Args:
        scenario: what to simulate.
        seed: instead of the scenario's.
        balancers: by service, a class or function that makes a new `Balancer`; called for each caller proxy.
        retry_rules: by service, likewise, a `RetryRule`.

    Attributes:
        env: the SimPy environment.
        mesh: the mesh.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int | None = None,
        *,
        balancers: Mapping[str, BalancerFactory] | None = None,
        retry_rules: Mapping[str, RetryRuleFactory] | None = None,
    ) -> None:
        for name in (*(balancers or {}), *(retry_rules or {})):
            if name not in scenario.services:
                raise MeshsimError(
                    f"no service {name!r} in this scenario; it has {', '.join(scenario.services)}"
                )
        self.scenario = scenario
        self.seed = scenario.seed if seed is None else seed
        self.env = simpy.Environment()
        custom = Custom(balancers or {}, retry_rules or {})
        self.mesh: Mesh = Builder(scenario, self.seed, SimPyClock(self.env), custom).build()
        self.complete = False
        self.interrupted = False

    def run(self, progress: Callable[[float], None] | None = None) -> Records:
        """Runs until nothing is left to do, or the drain's limit, or Ctrl-C.

        Args:
            progress: told the simulated time now and then, s.

        Returns:
            What happened; `complete` is False if the run was cut short.
        """
        limit = self.scenario.duration + self.scenario.drain_limit
        stride = max(self.scenario.duration / STEPS, limit / STEPS_AT_MOST)
        try:
            while not self.complete and self.env.now < limit:
                until = min(limit, self.env.now + stride)
                self.complete = self.env.run(until=until) is True or self.mesh.settled
                if progress is not None:
                    progress(self.env.now)
        except KeyboardInterrupt:
            self.interrupted = True
        return self.records()

    def records(self) -> Records:
        """What has happened so far."""
        end = float(self.env.now)
        return records(self.scenario, self.mesh, "simpy", self.seed, end, self.complete, self.interrupted)


def simulate(
    scenario: Scenario,
    seed: int | None = None,
    *,
    progress: Callable[[float], None] | None = None,
    balancers: Mapping[str, BalancerFactory] | None = None,
    retry_rules: Mapping[str, RetryRuleFactory] | None = None,
    processes: Sequence[UserProcess] = (),
) -> Records:
    """Simulates a scenario once.

    Args:
        scenario: what to simulate.
        seed: instead of the scenario's.
        progress: told the simulated time now and then, s.
        balancers: the user's own, as `Simulation` takes them.
        retry_rules: likewise.
        processes: the user's own; each is called with the `Simulation` and returns a process's generator.
    """
    simulation = Simulation(scenario, seed, balancers=balancers, retry_rules=retry_rules)
    for process in processes:
        simulation.env.process(process(simulation))
    return simulation.run(progress)
