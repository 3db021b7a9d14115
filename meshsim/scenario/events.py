"""A scenario's events as disruptions on a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from meshsim import random
from meshsim.mesh import disruption
from meshsim.mesh.certificate import Authority
from meshsim.mesh.clock import Clock
from meshsim.mesh.control_plane import ControlPlane
from meshsim.mesh.disruption import (
    CaOutage,
    Disruption,
    Factors,
    Outage,
    Overrides,
    RootRotation,
)
from meshsim.mesh.link import Link
from meshsim.mesh.replica import Replica
from meshsim.scenario import model
from meshsim.scenario.fleet import Fleet
from meshsim.scenario.push import Change, Publisher, Receiver
from meshsim.scenario.topology import Edge, Topology

Fault = tuple[Callable[..., Disruption], Callable[[Any], Overrides]]
"""What a key of an event makes, and what is in force without it."""

REPLICA_FAULTS: dict[str, Fault] = {
    "slow": (disruption.Slowness, lambda replica: Factors(1.0)),
    "errors": (disruption.Errors, lambda replica: Overrides(-1.0)),
}
LINK_FAULTS: dict[str, Fault] = {
    "latency_factor": (disruption.Slowdown, lambda link: Factors(1.0)),
    "loss": (disruption.Loss, lambda link: Overrides(link.loss_ratio)),
}
NONE: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Control:
    """The control plane of a mesh, what it publishes, and the replicas that come and go."""

    plane: ControlPlane
    publisher: Publisher
    fleet: Fleet[Any] | None = None


def schedule_events(
    topology: Topology, clock: Clock, *, replicas: Mapping[str, Replica] = NONE,
    links: Mapping[Edge, Link] = NONE, proxies: Sequence[Receiver] = (), authority: Authority | None = None,
    control: Control | None = None,
) -> None:  # fmt: skip
    """Puts a scenario's events on the clock of whoever has these parts; replicas are found by id."""
    scenario = topology.scenario
    in_force: dict[tuple[object, str], Overrides] = {}

    def faults(kinds: Mapping[str, Fault], event: model.Event, on: Replica | Link) -> Iterator[Disruption]:
        for key, (fault, without) in kinds.items():
            value = getattr(event, key)
            if value is not None:
                yield fault(on, in_force.setdefault((on, key), without(on)), value)

    def changes(number: int, event: model.Event) -> Iterator[Disruption]:
        if event.component is not None and event.down and authority is not None:
            yield CaOutage(authority)
        if control is not None:
            yield from controls(number, event, control)
        if event.rotate_root and authority is not None:
            yield root_rotation(clock, number, event.overlap, scenario, proxies, authority)
        for place in topology.affected_by(event) if replicas else ():
            if place.name in replicas:
                yield from faults(REPLICA_FAULTS, event, replicas[place.name])
                if event.down:
                    yield Outage(replicas[place.name])
        for edge, link in links.items():
            if event.link == " -> ".join(edge):
                yield from faults(LINK_FAULTS, event, link)

    def controls(number: int, event: model.Event, control: Control) -> Iterator[Disruption]:
        if event.set:
            yield Change(control.publisher, control.plane, number)
        if event.component == "control_plane":
            yield ControlPlaneOutage(control.plane)
        if control.fleet is not None:
            yield from control.fleet.changes_by(topology, event)

    on_clock(clock, scenario.events, changes)


class ControlPlaneOutage(Disruption):
    """The control plane pushes nothing."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self.control_plane = control_plane

    def begin(self, now: float) -> None:
        self.control_plane.go_down(now)

    def end(self, now: float) -> None:
        self.control_plane.come_up(now)


def root_rotation(
    clock: Clock, number: int, overlap: float, scenario: model.Scenario, proxies: Sequence[Receiver],
    authority: Authority,
) -> RootRotation:  # fmt: skip
    """A new root of the CA, of which proxies hear as of pushes; `number` is the event's in the file."""
    delay = scenario.mesh.push_delay.build()
    agents, delays = [], []
    for proxy in proxies:
        if proxy.agent is not None:
            key = random.derive(proxy.key, number)
            agents.append(proxy.agent)
            delays.append((delay.draw(key, random.PUSH), delay.draw(random.derive(key, 1), random.PUSH)))
    return RootRotation(clock, authority, overlap, agents, delays)


def root_generations(events: Sequence[model.Event]) -> dict[int, int]:
    """The generation of the root that each event brings which rotates it, by the number of the event."""
    rotations = [number for number, event in enumerate(events) if event.rotate_root]
    by_time = sorted(rotations, key=lambda number: events[number].at)
    return {number: generation for generation, number in enumerate(by_time, 1)}


def on_clock(
    clock: Clock, events: Sequence[model.Event], changes: Callable[[int, model.Event], Iterator[Disruption]]
) -> None:
    """Puts what events change on a clock: at equal times ends before beginnings, then in order of the file.

    `changes` says what the event of a number, in order of the file, changes.
    """
    due: list[tuple[float, int, int, Disruption]] = []
    for number, event in enumerate(events):
        for change in changes(number, event):
            due.append((event.at, 1, number, change))
            lasts = event.overlap or event.lasts
            if lasts is not None:
                due.append((event.at + lasts, 0, number, change))
    for time, begins, _, change in sorted(due, key=lambda occurrence: occurrence[:3]):
        clock.at(time, change, disruption.BEGIN if begins else disruption.END)
