"""The replicas of a mesh that come and go, the same for every body: as rollouts want it, from start to end.

A replica is READY, and an endpoint, when its startup is over and it lacks nothing else. It is gone when its
drain is over. What it is made of is its body's business: simulated, or processes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from math import inf
from typing import Any, Generic, TypeVar

from meshsim.mesh.clock import Clock
from meshsim.mesh.disruption import Disruption
from meshsim.mesh.rollout import GONE, READY, STARTING, Deployment, Pod
from meshsim.scenario import model
from meshsim.scenario.topology import Replica, Topology
from meshsim.scenario.traffic import Restart

Group = tuple[str, str]
"""A service and a version of it."""

# What a replica lacks at first, and what ends its life; UP of `meshsim.mesh.replica` is another such step
CONFIGURED = 0
STARTED = 2
DRAINED = 3


class Life(Pod):
    """A replica in the course of its life; as an event, something of it is there, or its drain is over.

    Attributes:
        lacking: what has to be there before it can be ready.
        since, until: when it was ready, and when it was gone, s; inf if it never was.
    """

    def __init__(self, fleet: Fleet[Any], place: Replica, generation: int = 0, state: int = STARTING) -> None:
        super().__init__(place.number, generation, state)
        self.fleet = fleet
        self.place = place
        self.lacking = {STARTED, CONFIGURED}
        self.since = inf if state == STARTING else 0.0
        self.until = inf

    @property
    def deployment(self) -> Deployment:
        """Whose it is."""
        return self.fleet.deployments[self.place.service, self.place.version]

    def fire(self, step: int, now: float) -> None:
        if step == DRAINED:
            self.go(now)
        elif self.state == STARTING:
            self.lacking.discard(step)
            if not self.lacking:
                self.come_up(now)

    @abstractmethod
    def begin(self, now: float) -> None:
        """It is to come: ends in CONFIGURED, at once or later."""

    def come_up(self, now: float) -> None:
        """It is ready: an endpoint from now on."""
        self.since = now
        service = self.place.service
        self.fleet.change(service, [*self.fleet.endpoints[service], self.number], now)
        self.deployment.ready(self, now)

    def leave(self, was_ready: bool, now: float) -> None:
        if was_ready:
            service = self.place.service
            others = [each for each in self.fleet.endpoints[service] if each != self.number]
            self.fleet.change(service, others, now)
            self.drain(now)
        else:
            self.go(now)

    def drain(self, now: float) -> None:
        """It serves for a while, though it is no endpoint any more."""
        lasts = self.place.deployment.drain
        if lasts > 0.0:
            self.fleet.clock.at(now + lasts, self, DRAINED)
        else:
            self.go(now)

    def go(self, now: float) -> None:
        """It is gone, with all that it holds."""
        self.state = GONE
        self.until = now


Body = TypeVar("Body", bound=Life)


class Fleet(Generic[Body]):
    """All replicas of a mesh.

    Attributes:
        deployments: by service and version.
        endpoints: of each service, the numbers of the replicas that are ready, in order; for each change,
            another dict.
        pods: the replicas that there are or were, by number.
    """

    def __init__(self, clock: Clock, topology: Topology) -> None:
        self.clock = clock
        self.endpoints = topology.endpoints_at_start
        self.deployments: dict[Group, Deployment] = {}
        self.pods: dict[int, Body] = {}
        self._added: dict[Group, list[Replica]] = defaultdict(list)
        present: dict[Group, list[Body]] = defaultdict(list)
        for place in topology.replicas:
            group = place.service, place.version
            if place.added:
                self._added[group].append(place)
            else:
                pod = self.pods[place.number] = self.pod(place, 0, READY)
                present[group].append(pod)
        for group, pods in present.items():
            self.deployments[group] = Deployment(partial(self._start, group), pods)

    @abstractmethod
    def pod(self, place: Replica, generation: int, state: int) -> Body:
        """A replica, as it is made here."""

    def another(self, group: Group) -> Replica:
        """One more replica of a group than events of the scenario add."""
        raise AssertionError("only a live mesh is scaled otherwise")

    @property
    def lives(self) -> list[tuple[int, float, float]]:
        """(replica, from, to) of each that has been ready, s; `to` is inf for those that have not gone."""
        return [(number, pod.since, pod.until) for number, pod in self.pods.items() if pod.since < inf]

    def change(self, service: str, numbers: Sequence[int], now: float) -> None:
        """Other replicas are the endpoints of a service from now on."""
        self.endpoints = {**self.endpoints, service: tuple(sorted(numbers))}

    def _start(self, group: Group, generation: int, now: float) -> Pod:
        place = self._added[group].pop(0) if self._added[group] else self.another(group)
        pod = self.pods[place.number] = self.pod(place, generation, STARTING)
        pod.begin(now)
        if place.deployment.startup > 0.0:
            self.clock.at(now + place.deployment.startup, pod, STARTED)
        else:
            pod.fire(STARTED, now)
        return pod

    def changes_by(self, topology: Topology, event: model.Event) -> Iterator[Disruption]:
        """What an event does to it."""
        if event.rolls:
            rolled = [self.deployments[group] for group in topology.rolled(event)]
            yield Rollout(rolled, event.replicas, event.restart)


class Rollout(Disruption):
    """Some deployments are scaled, or restarted."""

    def __init__(
        self, deployments: Sequence[Deployment], replicas: int | None, restart: Restart | None
    ) -> None:
        self.deployments = deployments
        self.replicas = replicas
        self.restart = restart

    def begin(self, now: float) -> None:
        for deployment in self.deployments:
            if self.replicas is not None:
                deployment.wanted = self.replicas
            if self.restart is not None:
                deployment.restart(self.restart.surge, self.restart.unavailable, now)
            else:
                deployment.scale(deployment.wanted, now)

    def end(self, now: float) -> None:
        raise AssertionError("replicas stay as they are wanted")
