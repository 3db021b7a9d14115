"""A scenario as the recogniser sees it: stations, and who calls whom how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from meshsim import random
from meshsim.scenario.model import CLIENT, CallStep, Deployment, Load, Policy, Scenario, Step
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
    """Equal replicas (or their sidecars) with a finite number of workers each.

    Attributes:
        key: which.
        replicas: how many there are.
        workers: of each.
        queue: waiting room of each.
        discipline: who is next.
        time: a service of its own, without the script.
        holds_script: whether the worker also waits for the script.
    """

    key: Key
    replicas: int
    workers: int
    queue: int
    discipline: str
    time: random.Distribution
    holds_script: bool

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
    """

    def __init__(self, scenario: Scenario) -> None:
        """Look at a scenario.

        Raises:
            UnsolvedError: services call each other in a circle.
        """
        self.scenario = scenario
        self.topology = Topology(scenario)
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
        return [*found, *(key for edge in self.edges for key in self.policy_keys(*edge))]

    def policy_keys(self, caller: str, service: str) -> list[tuple[str, str]]:
        """The same of what a caller applies to a service."""
        name = _named(self.scenario.policies, caller, service, service)
        return [*set_keys(self.policy(caller, service), "policies.*.", f"policies.{name}.")]

    @cached_property
    def stations(self) -> dict[Key, Station]:
        """Every station with a queue, callers before callees."""
        places = [(name, version) for name in self.order for version in self.deployments[name]]
        found = [make(*place) for make in (self._replica, self._proxy) for place in places]
        return {station.key: station for station in found if station is not None}

    def _replica(self, service: str, version: str) -> Station | None:
        deployment = self.deployments[service][version]
        if deployment.workers >= UNLIMITED:
            return None
        return Station(
            key=("replica", service, version),
            replicas=deployment.replicas,
            workers=deployment.workers,
            queue=deployment.queue,
            discipline=deployment.discipline,
            time=deployment.time.build(),
            holds_script=deployment.holds_worker and bool(deployment.script),
        )

    def _proxy(self, service: str, version: str) -> Station | None:
        workers = self.scenario.mesh.proxy.workers
        if not self.sidecars or workers >= UNLIMITED or self.proxy_time.mean == 0.0:
            return None
        count = self.deployments[service][version].replicas
        return Station(("proxy", service, version), count, workers, UNLIMITED, "fifo", self.proxy_time, False)

    def policy(self, caller: str, service: str) -> Policy:
        """What the caller applies."""
        return self.scenario.policy(caller, service)

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

    def instances(self, caller: str) -> int:
        """How many instances of a caller there are, each with policy state of its own."""
        return self.topology.proxy_count(caller)

    def prioritised(self, station: Station) -> bool:
        """Whether a station lets some requests go before others."""
        return station.discipline == "priority" and len({load.priority for load in self.scenario.load}) > 1

    def cut(self, caller: str, service: str) -> bool:
        """Whether a try may end before its answer comes: by a time-out, or because another was faster."""
        policy = self.policy(caller, service)
        per_try = policy.retries.per_try_timeout if policy.retries else 0.0
        return policy.timeout > 0.0 or per_try > 0.0 or policy.hedge is not None

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
            for version, deployment in self.deployments[service].items():
                passes = 2 * (("proxy", service, version) in self.stations)
                steps = [step for stage in deployment.script for step in stage]
                below = sum(count[step.call] + passes for step in steps if isinstance(step, CallStep))
                own.append((("replica", service, version) in self.stations) + passes + below)
            count[service] = max(own)
        return count

    @cached_property
    def forks(self) -> list[tuple[str, int]]:
        """Services whose scripts do several things at once, and how many queues they can pass meanwhile."""
        return [
            (service, sum(self._below(service, step) for step in stage))
            for service in sorted(self.used)
            for deployment in self.deployments[service].values()
            for stage in deployment.script
            if len(stage) > 1
        ]

    def _below(self, service: str, step: Step) -> int:
        if not isinstance(step, CallStep):
            return 0
        return self.visits[step.call] + 2 * any(key[:2] == ("proxy", service) for key in self.stations)

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
        scenario = self.scenario
        start = 0.0 if scenario.warmup == "auto" else float(scenario.warmup)
        return load.mean_rate(start, scenario.duration)


def _named(parts: Mapping[str, object], caller: str, service: str, general: str) -> str:
    """The key that holds for an edge: its own, or the general one."""
    own = f"{caller} -> {service}"
    return own if own in parts else general


def _work(deployment: Deployment) -> tuple[object, ...]:
    """What makes replicas differ to a caller."""
    return tuple(getattr(deployment, name) for name in Deployment.model_fields if name != "replicas")
