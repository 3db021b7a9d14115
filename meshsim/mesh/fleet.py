"""The replicas of a simulated mesh that come and go: as rollouts want it, and as callers learn of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import final

from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.control_plane import ControlPlane, Subscription
from meshsim.mesh.replica import UP, Replica
from meshsim.mesh.rollout import GONE, READY, STARTING, Body, Deployment, Pod

# Steps of a life; 0 is that its configuration is there
CONFIGURED = 0
STARTED = 2
DRAINED = 3


@dataclass(frozen=True, slots=True)
class Place:
    """A replica that there is, or may be: of a `group`, its service and version; it may be `added` later."""

    replica: Replica
    subscription: Subscription
    group: tuple[str, str]
    startup: float
    drain: float
    added: bool


@final
class Fleet(Body):
    """All replicas of a mesh.

    Attributes:
        deployments: by service and version.
        endpoints: of each service, the numbers of the replicas that are ready, in order.
        lives: (replica, from, to) of each that has been ready, s; `to` is inf for those that have not gone.
    """

    def __init__(self, clock: Clock, control_plane: ControlPlane, places: Sequence[Place]) -> None:
        self.clock = clock
        self.control_plane = control_plane
        self.deployments: dict[tuple[str, str], Deployment] = {}
        self.endpoints: dict[str, tuple[int, ...]] = {}
        self._added: dict[Deployment, list[Place]] = {}
        self._lives: dict[int, Life] = {}
        groups: dict[tuple[str, str], list[Place]] = {}
        for place in places:
            groups.setdefault(place.group, []).append(place)
        for group, members in groups.items():
            present = [place for place in members if not place.added]
            pods = [Pod(place.replica.number, state=READY) for place in present]
            deployment = self.deployments[group] = Deployment(self, pods)
            self._added[deployment] = [place for place in members if place.added]
            for place, pod in zip(present, pods, strict=True):
                self._lives[pod.number] = life = Life(self, deployment, place, pod)
                life.since = 0.0
                self.list(life)

    @property
    def lives(self) -> list[tuple[int, float, float]]:
        return [(number, life.since, life.until) for number, life in self._lives.items() if life.since < inf]

    def list(self, life: Life) -> None:
        """A replica is an endpoint from now on."""
        service = life.place.group[0]
        self.endpoints[service] = tuple(sorted((*self.endpoints.get(service, ()), life.pod.number)))

    def start(self, deployment: Deployment, generation: int, now: float) -> Pod:
        place = self._added[deployment].pop(0)
        pod = Pod(place.replica.number, generation)
        life = self._lives[pod.number] = Life(self, deployment, place, pod)
        self.control_plane.connect(place.subscription, life, now)
        if place.startup > 0.0:
            self.clock.at(now + place.startup, life, STARTED)
        else:
            life.fire(STARTED, now)
        return pod

    def leave(self, pod: Pod, was_ready: bool, now: float) -> None:
        life = self._lives[pod.number]
        drain = life.place.drain
        if was_ready:
            service = life.place.group[0]
            self.endpoints[service] = tuple(each for each in self.endpoints[service] if each != pod.number)
            self.control_plane.changed(now)
        if was_ready and drain > 0.0:
            self.clock.at(now + drain, life, DRAINED)
        else:
            life.fire(DRAINED, now)


@final
class Life(Event):
    """A replica in the course of its life.

    It comes up when it is `lacking` nothing; `since` and `until` say when it was ready, and gone, s.
    """

    def __init__(self, fleet: Fleet, deployment: Deployment, place: Place, pod: Pod) -> None:
        self.fleet = fleet
        self.deployment = deployment
        self.place = place
        self.pod = pod
        self.lacking = {STARTED, CONFIGURED}
        self.since = inf
        self.until = inf

    def fire(self, step: int, now: float) -> None:
        replica, subscription = self.place.replica, self.place.subscription
        if step == DRAINED:
            self.pod.state = GONE
            self.until = now
            replica.watcher = None
            replica.go_down(now)
            self.fleet.control_plane.disconnect(subscription)
        elif self.pod.state != STARTING:
            return
        elif step in (STARTED, CONFIGURED):
            self.lacking.discard(step)
            if not self.lacking:
                replica.watcher = self
                replica.come_up(now)
        elif step == UP:
            self.since = now
            self.fleet.list(self)
            self.fleet.control_plane.changed(now)
            self.deployment.ready(self.pod, now)
