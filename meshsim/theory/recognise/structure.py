"""A scenario as the recogniser sees it: stations, and who calls whom how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from meshsim import random
from meshsim.scenario.model import CLIENT, CallStep, Deployment, Load, Policy, Scenario
from meshsim.scenario.settings import set_keys
from meshsim.scenario.topology import Topology
from meshsim.units import UNLIMITED

Key = tuple[str, str, str]
"""A station: ``replica`` or ``proxy``, service, version."""


class UnsolvedError(Exception):
    """No formula solves this; the message says why."""


class OverloadError(UnsolvedError):
    """A queue that grows without bound."""


@dataclass(frozen=True, slots=True)
class Station:
    """Equal replicas (or their sidecars) with a finite number of workers each."""

    key: Key
    replicas: int
    workers: int  # of each
    queue: int  # waiting room of each
    discipline: str
    time: random.Distribution  # without the script
    holds_script: bool  # the worker also waits for the script

    @property
    def name(self) -> str:
        """For people."""
        kind, service, version = self.key
        label = f"{service}/{version}" if version else service
        return f"the sidecars of {label}" if kind == "proxy" else label

    @property
    def quasi_reversible(self) -> bool:
        """Whether it has product form: exponential, room for all, nothing held meanwhile."""
        plain = self.queue >= UNLIMITED and not self.holds_script
        return plain and isinstance(self.time, random.Exponential)


class Structure:
    """What is asked of a scenario again and again, worked out once.

    Attributes:
        used: the services that load can reach.
        order: these, callers before callees.
        edges: callers and services between which load can go.
        deployments: by service and version.
        policy: what a caller applies to a service.
        instances: how many there are of a caller, each with policy state of its own.
    """

    def __init__(self, scenario: Scenario) -> None:
        """Look at a scenario.

        Raises:
            UnsolvedError: services call each other in a circle.
        """
        self.scenario = scenario
        self.policy = scenario.policy
        self.topology = Topology(scenario)
        self.instances = self.topology.proxy_count
        self.sidecars = self.topology.sidecars
        self.proxy_time = scenario.mesh.proxy.time.build()
        self.graph = nx.DiGraph(scenario.edges())
        self.graph.add_nodes_from(scenario.services)
        if not nx.is_directed_acyclic_graph(self.graph):
            raise UnsolvedError("services call each other in a circle")
        self.used: set[str] = set(nx.descendants(self.graph, CLIENT))
        self.order: list[str] = [name for name in nx.topological_sort(self.graph) if name in self.used]
        self.edges = [edge for edge in scenario.edges() if edge[0] == CLIENT or edge[0] in self.used]
        self.deployments = {name: service.deployments() for name, service in scenario.services.items()}

    @cached_property
    def set_keys(self) -> list[tuple[str, str]]:
        """The keys that are set, by pattern and place, of all that load can reach."""
        scenario = self.scenario
        parts = {
            "services": {name: service for name, service in scenario.services.items() if name in self.used},
            "links": {_named(scenario.links, *edge, "default"): scenario.link(*edge) for edge in self.edges},
            "policies": {},
        }
        found = [*set_keys(scenario.model_copy(update=parts))]
        for name, policy in scenario.policies.items():
            if "/" in name:
                found += set_keys(policy, "policies.*/*.", f"policies.{name}.")
        return [*found, *(key for edge in self.edges for key in self.policy_keys(*edge))]

    def policy_keys(self, caller: str, service: str) -> list[tuple[str, str]]:
        """The same of what a caller applies to a service."""
        name = _named(self.scenario.policies, caller, service, service)
        return [*set_keys(self.policy(caller, service), "policies.*.", f"policies.{name}.")]

    @cached_property
    def stations(self) -> dict[Key, Station]:
        """Every station with a queue, callers before callees."""
        places = [(name, *version) for name in self.order for version in self.deployments[name].items()]
        found = []
        for service, version, each in places:
            if each.workers < UNLIMITED:
                key, holds = ("replica", service, version), each.holds_worker and bool(each.script)
                own = each.replicas, each.workers, each.queue, each.discipline, each.time.build()
                found.append(Station(key, *own, holds_script=holds))
        workers, time = self.scenario.mesh.proxy.workers, self.proxy_time
        for service, version, each in places if self.crossings else ():
            key = ("proxy", service, version)
            found.append(Station(key, each.replicas, workers, UNLIMITED, "fifo", time, holds_script=False))
        return {station.key: station for station in found}

    @cached_property
    def crossings(self) -> int:
        """How many sidecar queues a service's own call passes, out and back."""
        queues = self.scenario.mesh.proxy.workers < UNLIMITED and self.proxy_time.mean > 0.0
        return 2 if self.sidecars and queues else 0

    def queues(self, caller: str, service: str) -> int:
        """How many queues one attempt of a call can pass, its caller's sidecar included."""
        return self.visits[service] + (0 if caller == CLIENT else self.crossings)

    def shares(self, caller: str, service: str) -> dict[str, float]:
        """The share of a caller's attempts that each version gets, where balancers don't look at queues."""
        split = self.policy(caller, service).split
        weights = {name: float(split.get(name, 0.0)) for name in self.deployments[service]} if split else {}
        weights = weights or {name: float(d.replicas) for name, d in self.deployments[service].items()}
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items() if weight > 0.0}

    def hosts(self, caller: str, service: str, version: str) -> int:
        """How many hosts are in the cluster through which a caller reaches a version."""
        if self.policy(caller, service).split:
            return self.deployments[service][version].replicas
        return self.topology.replica_count(service)

    def thins(self, caller: str, key: Key) -> bool:
        """Whether each host of a station gets a random share of what a caller sends there."""
        kind, service, version = key
        random_share = kind == "proxy" or self.policy(caller, service).balance.kind == "random"
        return random_share or self.hosts(caller, service, version) == 1

    def prioritised(self, station: Station) -> bool:
        """Whether a station lets some requests go before others."""
        return station.discipline == "priority" and len({load.priority for load in self.scenario.load}) > 1

    def cut(self, caller: str, service: str) -> bool:
        """Whether a try may end before its answer comes: by a time-out, or because another was faster."""
        policy = self.policy(caller, service)
        return policy.timeout > 0.0 or per_try_timeout(policy) > 0.0 or policy.hedge is not None

    def timed(self, caller: str, service: str) -> bool:
        """Whether that depends on queues."""
        return self.cut(caller, service) and self.visits[service] > 0

    def alike(self, service: str) -> bool:
        """Whether all replicas of a service are the same."""
        return len({repr(deployment) for deployment in map(_work, self.deployments[service].values())}) == 1

    @cached_property
    def visits(self) -> dict[str, int]:
        """How many queues one attempt at each service can pass, its own included, retries aside."""
        count: dict[str, int] = {}
        for service in reversed(self.order):
            own = []
            for deployment in self.deployments[service].values():
                steps = (step for stage in deployment.script for step in stage)
                calls = (step.service for step in steps if isinstance(step, CallStep))
                below = sum(count[callee] + self.crossings for callee in calls)
                own.append((deployment.workers < UNLIMITED) + self.crossings + below)
            count[service] = max(own)
        return count

    @cached_property
    def forks(self) -> list[tuple[str, int]]:
        """Services whose scripts do several things at once, and how many queues they can pass meanwhile."""
        return [
            (service, sum(self.queues(service, step.service) for step in stage if isinstance(step, CallStep)))
            for service in sorted(self.used)
            for deployment in self.deployments[service].values()
            for stage in deployment.script
            if len(stage) > 1
        ]

    @cached_property
    def rate(self) -> float:
        """Mean arrivals per second of all loads, none of them closed."""
        return sum(map(self.offered, self.scenario.load))

    def offered(self, load: Load) -> float:
        """Mean arrivals per second of an open load over the measured window.

        Raises:
            UnsolvedError: the load is closed.
        """
        if load.users is not None:
            raise UnsolvedError("a closed load has no rate of its own")
        warmup = self.scenario.warmup
        return load.mean_rate(0.0 if warmup == "auto" else float(warmup), self.scenario.duration)


def per_try_timeout(policy: Policy) -> float:
    """Of each try, s; 0 without one."""
    return policy.retries.per_try_timeout if policy.retries else 0.0


def _named(parts: Mapping[str, object], caller: str, service: str, general: str) -> str:
    """The key that holds for an edge: its own, or the general one."""
    own = f"{caller} -> {service}"
    return own if own in parts else general


def _work(deployment: Deployment) -> tuple[object, ...]:
    """What makes replicas differ to a caller."""
    return tuple(getattr(deployment, name) for name in Deployment.model_fields if name != "replicas")
