"""Puts a scenario's events on the clock of whoever has what they befall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from meshsim.mesh import disruption
from meshsim.mesh.clock import Clock
from meshsim.mesh.disruption import BEGIN, END, Disruption, Factors, Overrides
from meshsim.mesh.link import Link
from meshsim.mesh.replica import Replica
from meshsim.scenario import model
from meshsim.scenario.machines import ConfiguredRoute
from meshsim.scenario.push import Push


class Events:
    """The events of a scenario, as far as they befall these replicas, links and routes.

    Args:
        replicas: by id.
        links: by (caller, service).
        routes: who owns each: (caller's instance number, caller, service, route).
    """

    def __init__(
        self, scenario: model.Scenario, seed: int, clock: Clock, replicas: Mapping[str, Replica],
        links: Mapping[tuple[str, str], Link], routes: Sequence[tuple[int, str, str, ConfiguredRoute]],
    ) -> None:  # fmt: skip
        self.scenario = scenario
        self.seed = seed
        self.clock = clock
        self.replicas = replicas
        self.links = links
        self.routes = routes
        self.slow: dict[str, Overrides] = {}
        self.errors: dict[str, Overrides] = {}
        self.factors: dict[str, Overrides] = {}
        self.losses: dict[str, Overrides] = {}

    def schedule(self) -> None:
        """Puts them on the clock: at equal times ends before beginnings, then in order of the file."""
        occurrences: list[tuple[float, int, int, Disruption]] = []
        for number, event in enumerate(self.scenario.events):
            for change in self._changes(number, event):
                occurrences.append((event.at, 1, number, change))
                if event.lasts is not None:
                    occurrences.append((event.at + event.lasts, 0, number, change))
        for time, begins, _, change in sorted(occurrences, key=lambda occurrence: occurrence[:3]):
            self.clock.at(time, change, BEGIN if begins else END)

    def _changes(self, number: int, event: model.Event) -> Iterator[Disruption]:
        if event.set:
            yield Push(self.clock, self.seed, number, self.scenario.policies_after(number), self.routes)
        for name, replica in self.replicas.items():
            if befalls(event, name):
                yield from self._replica_changes(event, name, replica)
        caller, _, service = (event.link or "").partition(" -> ")
        if event.link is not None and (caller, service) in self.links:
            yield from self._link_changes(event, event.link, self.links[caller, service])

    def _replica_changes(self, event: model.Event, name: str, replica: Replica) -> Iterator[Disruption]:
        if event.slow is not None:
            factors = self.slow.setdefault(name, Factors(1.0))
            yield disruption.Slowness(replica, factors, event.slow)
        if event.errors is not None:
            ratios = self.errors.setdefault(name, Overrides(replica.workload.error_ratio))
            yield disruption.Errors(replica, ratios, event.errors)
        if event.down:
            yield disruption.Outage(replica)

    def _link_changes(self, event: model.Event, name: str, link: Link) -> Iterator[Disruption]:
        if event.latency_factor is not None:
            factors = self.factors.setdefault(name, Factors(1.0))
            yield disruption.Slowdown(link, factors, event.latency_factor)
        if event.loss is not None:
            ratios = self.losses.setdefault(name, Overrides(link.loss_ratio))
            yield disruption.Loss(link, ratios, event.loss)


def befalls(event: model.Event, replica: str) -> bool:
    """Whether an event befalls a replica: it names it, or its service."""
    return event.replica == replica or event.service == replica.partition("/")[0]
