"""A configuration push: the control plane sends new policies to every proxy, which get them one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from meshsim import random
from meshsim.mesh.certificate import Agent
from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.disruption import Disruption
from meshsim.scenario.model import Scenario

Version = tuple[float, int]
"""Of a configuration: when it was sent, s, and the number of its event in the file."""


class Receiver(ABC):
    """A proxy as the control plane knows it; `version` is of the newest configuration that has arrived.

    `agent` has its certificates; None if it has no identity.
    """

    version: Version = (-1.0, -1)
    agent: Agent | None = None

    def __init__(self, key: random.Key) -> None:
        self.key = key

    def receive(self, scenario: Scenario, version: Version, now: float) -> None:
        """A configuration arrives; one that was overtaken by a newer push comes too late."""
        if version >= self.version:
            self.version = version
            self.configure(scenario, now)

    @abstractmethod
    def configure(self, scenario: Scenario, now: float) -> None:
        """Puts the policies of a scenario in force."""


class Push(Disruption):
    """New policies, those of `scenario`, on their way to all proxies; `number` is the event's in the file."""

    def __init__(self, clock: Clock, number: int, scenario: Scenario, proxies: Sequence[Receiver]) -> None:
        self.clock = clock
        self.number = number
        self.scenario = scenario
        self.proxies = proxies

    def begin(self, now: float) -> None:
        delay = self.scenario.mesh.push_delay.build()
        for proxy in self.proxies:
            lasts = delay.draw(random.derive(proxy.key, self.number), random.PUSH)
            arrival = Arrival(proxy, self.scenario, (now, self.number))
            if lasts > 0.0:
                self.clock.at(now + lasts, arrival, 0)
            else:
                arrival.fire(0, now)

    def end(self, now: float) -> None:
        raise AssertionError("a push does not end")


class Arrival(Event):
    """A configuration arrives at one proxy."""

    def __init__(self, proxy: Receiver, scenario: Scenario, version: Version) -> None:
        self.proxy = proxy
        self.scenario = scenario
        self.version = version

    def fire(self, step: int, now: float) -> None:
        self.proxy.receive(self.scenario, self.version, now)
