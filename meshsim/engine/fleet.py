"""The replicas of a simulated mesh that come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from meshsim.mesh.control_plane import ControlPlane, Subscription
from meshsim.mesh.mesh import Mesh
from meshsim.mesh.replica import UP
from meshsim.mesh.rollout import STARTING
from meshsim.scenario.fleet import Fleet, Life
from meshsim.scenario.push import Publisher
from meshsim.scenario.topology import Replica, Topology


@final
class SimulatedFleet(Fleet["SimulatedPod"]):
    """All replicas of a simulated `mesh`; `subscriptions` are those of its proxies, by number."""

    def __init__(
        self, topology: Topology, mesh: Mesh, control_plane: ControlPlane, publisher: Publisher,
        subscriptions: list[Subscription],
    ) -> None:  # fmt: skip
        self.topology = topology
        self.mesh = mesh
        self.control_plane = control_plane
        self.publisher = publisher
        self.subscriptions = subscriptions
        super().__init__(mesh.clock, topology)

    def pod(self, place: Replica, generation: int, state: int) -> SimulatedPod:
        return SimulatedPod(self, place, generation, state)

    def change(self, service: str, numbers: Sequence[int], now: float) -> None:
        super().change(service, numbers, now)
        self.publisher.endpoints = self.endpoints
        self.control_plane.changed(now)


@final
class SimulatedPod(Life):
    """A replica of a simulated mesh."""

    fleet: SimulatedFleet

    def __init__(self, fleet: SimulatedFleet, place: Replica, generation: int, state: int) -> None:
        super().__init__(fleet, place, generation, state)
        self.replica = fleet.mesh.replicas[place.name]
        self.subscription = fleet.subscriptions[fleet.topology.proxy_of(place).number]

    def begin(self, now: float) -> None:
        self.fleet.control_plane.connect(self.subscription, self, now)

    def fire(self, step: int, now: float) -> None:
        if step != UP:
            super().fire(step, now)
        elif self.state == STARTING:
            super().come_up(now)

    def come_up(self, now: float) -> None:
        self.replica.watcher = self
        self.replica.come_up(now)  # fires UP when it has a certificate

    def go(self, now: float) -> None:
        super().go(now)
        self.replica.watcher = None
        self.replica.go_down(now)
        self.fleet.control_plane.disconnect(self.subscription)
