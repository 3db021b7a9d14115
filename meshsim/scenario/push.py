"""What proxies are sent: policies, rules and modes, and who the endpoints of each service are.

A `Publisher` is the control plane's memory: what is wanted now. A `Receiver` is a proxy's end: it takes a
version, or refuses what it does not understand and keeps what it has.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshsim import random
from meshsim.mesh.certificate import Agent
from meshsim.mesh.clock import Clock
from meshsim.mesh.control_plane import CLUSTERS, ROUTES, ControlPlane, Subscriber, Subscription
from meshsim.mesh.disruption import Disruption
from meshsim.scenario import model
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology
from meshsim.units import UNLIMITED

Endpoints = Mapping[str, Sequence[int]]
"""Of each service, the numbers of its replicas that are endpoints, in order."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A version: the scenario with what is in force, the endpoints, and services whose proxies refuse it."""

    scenario: Scenario
    endpoints: Endpoints
    nacked: frozenset[str] = frozenset()


@dataclass
class Publisher:
    """What is wanted of a mesh.

    Attributes:
        wanted: of the policies; `nacked` of their parts.
        endpoints: who they are now; another mapping whenever others are.
        scenario: whose events set something; at first it is what is wanted.
    """

    wanted: Scenario
    endpoints: Endpoints
    nacked: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.scenario = self.wanted

    def publish(self, version: int) -> Configuration:
        """What is wanted now, as this version."""
        return Configuration(self.wanted, self.endpoints, self.nacked)

    def set(self, number: int) -> None:
        """What an event sets, whose number is that in the file, is wanted from now on."""
        self.wanted = self.scenario.policies_after(number)
        self.nacked = self.scenario.nacked_after(number)


def control_plane(topology: Topology, clock: Clock, publisher: Publisher) -> ControlPlane:
    """The control plane of a scenario."""
    mesh = topology.scenario.mesh
    config, delay = mesh.control_plane, mesh.push_delay.build()
    if config is None:
        return ControlPlane(clock, publisher.publish, delay)
    takes = config.time != model.ZERO or config.workers != UNLIMITED
    return ControlPlane(
        clock,
        publisher.publish,
        delay,
        time=config.time.build() if takes else None,
        workers=config.workers,
        debounce=(config.debounce, config.debounce_max),
        ordered=config.ordered,
    )


class Receiver(Subscriber):
    """A proxy's end; `callers` says whose calls it makes.

    `agent` has its certificates; None if it has no identity.
    """

    agent: Agent | None = None

    def __init__(self, key: random.Key, callers: set[str]) -> None:
        self.key = key
        self.callers = callers
        self._refused: set[int] = set()

    def follow(self, control_plane: ControlPlane, *, connected: bool) -> Subscription:
        """Gets its configuration from there; it has version 0 already, if it is connected."""
        self.control_plane = control_plane
        return control_plane.subscribe(self, self.key, connected=connected)

    def deliver(self, to: Subscription, version: int, content: Configuration, part: int, now: float) -> None:
        newest, taken = self.take(content, version, part, to.parts, now)
        self.control_plane.answered(to, newest, taken, now)

    def take(
        self, configuration: Configuration, version: int, part: int, parts: Sequence[int], now: float
    ) -> tuple[int, bool]:
        """Takes a part of a version; `parts` are the newest of each, this one included.

        Returns the newest version of which all is there (-1: none), and whether nothing of it was refused.
        """
        refused = not self.callers.isdisjoint(configuration.nacked)
        if part != ROUTES:
            self.find(configuration, now)
            if not refused:
                self.equip(configuration.scenario, now)
        if part != CLUSTERS:
            if refused:
                self._refused.add(version)
            else:
                self.configure(configuration.scenario, now)
        whole, clusters, routes = parts
        newest = max(whole, min(clusters, routes))
        return newest, max(whole, routes) not in self._refused

    @abstractmethod
    def find(self, configuration: Configuration, now: float) -> None:
        """Learns of endpoints, and which clusters there are."""

    @abstractmethod
    def equip(self, scenario: Scenario, now: float) -> None:
        """Puts in force what a scenario's policies say of clusters: all that Envoy has there."""

    @abstractmethod
    def configure(self, scenario: Scenario, now: float) -> None:
        """Puts the rest of a scenario's policies in force, rules and modes."""


class Change(Disruption):
    """A `set` event: `number` is its own in the file."""

    def __init__(self, publisher: Publisher, control_plane: ControlPlane, number: int) -> None:
        self.publisher = publisher
        self.control_plane = control_plane
        self.number = number

    def begin(self, now: float) -> None:
        self.publisher.set(self.number)
        self.control_plane.changed(now)

    def end(self, now: float) -> None:
        raise AssertionError("what is set stays set")
