"""Puts a scenario's events on the clock of whoever has what they affect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from meshsim.mesh.clock import Clock
from meshsim.mesh.disruption import (
    BEGIN,
    END,
    Disruption,
    Errors,
    Factors,
    Loss,
    Outage,
    Overrides,
    Slowdown,
    Slowness,
)
from meshsim.mesh.link import Link
from meshsim.mesh.replica import Replica
from meshsim.scenario import model
from meshsim.scenario.push import Push, Receiver
from meshsim.scenario.topology import Edge, Topology

Fault = tuple[Callable[..., Disruption], Callable[[Any], Overrides]]
"""What a key of an event makes, and what is in force without it."""

REPLICA_FAULTS: dict[str, Fault] = {
    "slow": (Slowness, lambda replica: Factors(1.0)),
    "errors": (Errors, lambda replica: Overrides(replica.workload.error_ratio)),
}
LINK_FAULTS: dict[str, Fault] = {
    "latency_factor": (Slowdown, lambda link: Factors(1.0)),
    "loss": (Loss, lambda link: Overrides(link.loss_ratio)),
}


class Events:
    """The events of a scenario, as far as they affect these replicas, by id, links and proxies."""

    def __init__(
        self, topology: Topology, clock: Clock, *, replicas: Mapping[str, Replica] | None = None,
        links: Mapping[Edge, Link] | None = None, proxies: Sequence[Receiver] = (),
    ) -> None:  # fmt: skip
        self.topology = topology
        self.scenario = topology.scenario
        self.clock = clock
        self.replicas = replicas or {}
        self.links = links or {}
        self.proxies = proxies
        self.in_force: dict[tuple[object, str], Overrides] = {}

    def schedule(self) -> None:
        """Puts them on the clock."""
        on_clock(self.clock, self.scenario.events, self._changes)

    def _changes(self, number: int, event: model.Event) -> Iterator[Disruption]:
        if event.set and self.proxies:
            yield Push(self.clock, number, self.scenario.policies_after(number), self.proxies)
        if self.replicas:
            for place in self.topology.affected_by(event):
                if place.name in self.replicas:
                    replica = self.replicas[place.name]
                    yield from self._faults(REPLICA_FAULTS, event, replica)
                    if event.down:
                        yield Outage(replica)
        for edge, link in self.links.items():
            if event.link == " -> ".join(edge):
                yield from self._faults(LINK_FAULTS, event, link)

    def _faults(
        self, kinds: Mapping[str, Fault], event: model.Event, on: Replica | Link
    ) -> Iterator[Disruption]:
        for key, (fault, without) in kinds.items():
            value = getattr(event, key)
            if value is not None:
                yield fault(on, self.in_force.setdefault((on, key), without(on)), value)


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
            if event.lasts is not None:
                due.append((event.at + event.lasts, 0, number, change))
    for time, begins, _, change in sorted(due, key=lambda occurrence: occurrence[:3]):
        clock.at(time, change, BEGIN if begins else END)
