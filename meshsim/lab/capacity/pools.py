"""Pools of replicas: of each service that load reaches, or of each of its versions, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from meshsim.errors import MeshsimError, shown
from meshsim.scenario.model import CLIENT, Scenario
from meshsim.scenario.names import suggestion

Number = TypeVar("Number", int, float)
Replicas = tuple[int, ...]
"""How many, pool by pool."""


class Pools:
    """What can be made larger or smaller: `names` such as ``cart``, or ``cart/v1`` where there are versions.

    `fewest` is how many replicas each must have: an event on ``cart/2`` needs three.
    """

    def __init__(self, scenario: Scenario, costs: Mapping[str, float] | None = None) -> None:
        self.scenario = scenario
        sizes = {
            f"{service}/{version}" if version else service: deployment.replicas
            for service in _reached(scenario)
            for version, deployment in scenario.services[service].deployments().items()
        }
        self.names = tuple(sizes)
        self.own: Replicas = tuple(sizes.values())
        self.costs = _costs(self.names, costs or {})
        self.fewest: Replicas = tuple(_needed(scenario, name) for name in self.names)

    def at(self, replicas: Replicas) -> Scenario:
        """The scenario with so many replicas."""
        if replicas == self.own:
            return self.scenario
        services = dict(self.scenario.services)
        for pool, count in zip(self.names, replicas, strict=True):
            name, _, version = pool.partition("/")
            size: dict[str, Any] = {"replicas": count}
            service = services[name]
            if version:
                resized = service.versions[version].model_copy(update=size)
                size = {"versions": {**service.versions, version: resized}}
            services[name] = service.model_copy(update=size)
        return self.scenario.model_copy(update={"services": services})

    def cost(self, replicas: Replicas) -> float:
        """Of all replicas together."""
        return sum(count * cost for count, cost in zip(replicas, self.costs, strict=True))

    def changed(self, replicas: Replicas, place: int, by: int) -> Replicas:
        """With some more, or fewer, in one pool."""
        return (*replicas[:place], replicas[place] + by, *replicas[place + 1 :])

    def workers(self, place: int) -> int:
        """Of one replica."""
        service, _, version = self.names[place].partition("/")
        return int(self.scenario.services[service].deployments()[version].workers)

    def by_name(self, values: Sequence[Number]) -> dict[str, Number]:
        """A value of each pool."""
        return dict(zip(self.names, values, strict=True))

    def label(self, replicas: Replicas) -> str:
        """Replicas for people: ``frontend 3, cart 2``."""
        return ", ".join(f"{name} {count}" for name, count in self.by_name(replicas).items())


def _reached(scenario: Scenario) -> list[str]:
    """The services that requests reach, in order of the file."""
    reached, edges = {CLIENT}, scenario.edges()
    for _ in edges:
        reached |= {service for caller, service in edges if caller in reached}
    return [service for service in scenario.services if service in reached]


def _needed(scenario: Scenario, name: str) -> int:
    """As many replicas as events name one by one; at least one."""
    ids = [event.replica.rpartition("/") for event in scenario.events if event.replica is not None]
    return max([1, *(int(index) + 1 for pool, _, index in ids if pool == name)])


def _costs(names: Sequence[str], costs: Mapping[str, float]) -> tuple[float, ...]:
    """By pool; what is given for a service holds for its versions."""
    known = {*names, *(name.partition("/")[0] for name in names)}
    for name, cost in costs.items():
        if name not in known:
            raise MeshsimError(f"--cost {shown(name)}: no such service; {suggestion(name, sorted(known))}")
        if not 0.0 < cost < float("inf"):
            raise MeshsimError(f"--cost {name}={cost:g} is out of range; give a positive cost")
    return tuple(costs.get(name, costs.get(name.partition("/")[0], 1.0)) for name in names)
