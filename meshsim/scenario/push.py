"""A configuration push: the control plane sends new policies to every proxy, which get them one by one."""

from __future__ import annotations

from collections.abc import Sequence

from meshsim import random
from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.disruption import Disruption
from meshsim.scenario import model
from meshsim.scenario.machines import ConfiguredRoute


class Push(Disruption):
    """New policies on their way to all proxies.

    Attributes:
        number: of the event in the file.
        scenario: the policies are those of this one.
        routes: every route: (instance number, caller, service, route).
    """

    def __init__(
        self, clock: Clock, seed: int, number: int, scenario: model.Scenario,
        routes: Sequence[tuple[int, str, str, ConfiguredRoute]],
    ) -> None:  # fmt: skip
        self.clock = clock
        self.proxies = random.derive(seed, random.PROXIES)
        self.number = number
        self.scenario = scenario
        self.routes = routes

    def begin(self, now: float) -> None:
        delay = self.scenario.mesh.push_delay.build()
        for instance, caller, service, route in self.routes:
            key = random.derive(random.derive(self.proxies, instance), self.number)
            arrival = Arrival(route, self.scenario.policy(caller, service), now, self.number)
            lasts = delay.draw(key, random.PUSH)
            if lasts > 0.0:
                self.clock.at(now + lasts, arrival, 0)
            else:
                arrival.fire(0, now)

    def end(self, now: float) -> None:
        raise AssertionError("a push does not end")


class Arrival(Event):
    """One route gets its new policy; one that was overtaken by a newer push comes too late."""

    def __init__(self, route: ConfiguredRoute, policy: model.Policy, pushed: float, number: int) -> None:
        self.route = route
        self.policy = policy
        self.version = (pushed, number)

    def fire(self, step: int, now: float) -> None:
        if self.version < self.route.version:
            return
        self.route.version = self.version
        if self.policy != self.route.written:
            self.route.apply(self.policy, now)
