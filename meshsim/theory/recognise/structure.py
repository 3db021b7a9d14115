"""A scenario as the recogniser sees it: stations, and who calls whom how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from meshsim import random
from meshsim.scenario.model import (
    CLIENT,
    CallStep,
    Deployment,
    Link,
    Load,
    Policy,
    Scenario,
    Service,
    Stage,
    Time,
)
from meshsim.scenario.services import EndpointWork
from meshsim.scenario.settings import set_keys
from meshsim.scenario.topology import Topology
from meshsim.units import UNLIMITED

Key = tuple[str, str, str]
"""A station: ``replica`` or ``proxy``, service, version."""
Target = str
"""What a call asks for: a service, or one of its endpoints, such as ``cart/add``."""


def service_of(target: Target) -> str:
    """The service that is asked, or the client."""
    return target.partition("/")[0]


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
    times: tuple[tuple[random.Distribution, tuple[Target, ...]], ...]  # without the script; who has each
    holds_script: bool  # the worker also waits for the script
    weights: tuple[float, ...] = ()  # of the times, where there are several: known once flows are

    @property
    def name(self) -> str:
        """For people."""
        kind, service, version = self.key
        label = f"{service}/{version}" if version else service
        return f"the sidecars of {label}" if kind == "proxy" else label

    @property
    def time(self) -> random.Distribution:
        """Of whoever comes next: one time, or a mixture of those of its endpoints."""
        if len(self.times) == 1:
            return self.times[0][0]
        assert self.weights, "flows know them"
        return random.Mixture(list(self.weights), [time for time, _ in self.times])

    @property
    def exponential(self) -> bool:
        """Whether all that it does takes one exponential time."""
        return len(self.times) == 1 and isinstance(self.times[0][0], random.Exponential)

    @property
    def quasi_reversible(self) -> bool:
        """Whether it has product form: exponential, room for all, nothing held meanwhile."""
        return self.queue >= UNLIMITED and not self.holds_script and self.exponential


@dataclass(frozen=True, slots=True)
class Entry:
    """What a load asks for: a share of its requests, drawn by chance."""

    load: Load
    target: Target
    share: float


class Structure:
    """What is asked of a scenario again and again, worked out once.

    Attributes:
        entries: what the loads ask for; of each in the order of the file.
        targets: of the services that load can reach, callers before callees: what is asked of each.
        order: all of these.
        edges: callers and callees between which load can go, all of them targets.
        deployments: by target and version.
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
        services = nx.DiGraph(scenario.edges())
        services.add_nodes_from(scenario.services)
        if not nx.is_directed_acyclic_graph(services):
            raise UnsolvedError("services call each other in a circle")
        self.entries = [
            Entry(load, _target(load.to, endpoint), load.share(endpoint))
            for load in scenario.load
            for endpoint in load.endpoints or ("",)
            if load.share(endpoint)
        ]
        self.deployments = {
            _target(name, endpoint): {version: each.work(version, endpoint) for version in each.deployments()}
            for name, each in scenario.services.items()
            for endpoint in ("", *each.endpoints)
        }
        edges = list(dict.fromkeys(self._calls()))
        self.graph = nx.DiGraph(edges)
        used: set[Target] = set(nx.descendants(self.graph, CLIENT))
        order = [name for name in nx.topological_sort(services) if name != CLIENT]
        self.targets = {name: found for name in order if (found := self._asked(name, used))}
        self.order: list[Target] = [target for targets in self.targets.values() for target in targets]
        self.edges = [edge for edge in edges if edge[0] == CLIENT or edge[0] in used]

    def _calls(self) -> Iterator[tuple[Target, Target]]:
        yield from ((CLIENT, entry.target) for entry in self.entries)
        for caller, deployments in self.deployments.items():
            stages = (stage for each in deployments.values() for stage in each.script)
            yield from ((caller, step.call) for stage in stages for step in _calls(stage))

    def _asked(self, service: str, used: set[Target]) -> list[Target]:
        every = (_target(service, endpoint) for endpoint in ("", *self.scenario.services[service].endpoints))
        return [target for target in every if target in used]

    def policy(self, caller: Target, target: Target) -> Policy:
        """What a caller applies to what it calls."""
        service, _, endpoint = target.partition("/")
        return self.scenario.policy(service_of(caller), service, endpoint)

    def link(self, caller: Target, target: Target) -> Link:
        """Between a caller and what it calls."""
        return self.scenario.link(service_of(caller), service_of(target))

    def instances(self, caller: Target) -> int:
        """How many there are of a caller, each with policy state of its own."""
        return self.topology.proxy_count(service_of(caller))

    def shared(self, caller: Target, target: Target) -> list[tuple[Target, Target]]:
        """The edges whose calls go through the same proxies to the same cluster."""
        ends = service_of(caller), service_of(target)
        return [edge for edge in self.edges if (service_of(edge[0]), service_of(edge[1])) == ends]

    @cached_property
    def set_keys(self) -> list[tuple[str, str]]:
        """The keys that are set, by pattern and place, of all that load can reach."""
        scenario = self.scenario
        edges = dict.fromkeys((service_of(caller), service_of(target)) for caller, target in self.edges)
        parts = {
            "services": {name: self._reached(name) for name in scenario.services if name in self.targets},
            "links": {_named(scenario.links, *edge, "default"): scenario.link(*edge) for edge in edges},
            "policies": {},
        }
        found = [*set_keys(scenario.model_copy(update=parts))]
        return [*found, *(key for edge in self.edges for key in self.policy_keys(*edge))]

    def _reached(self, name: str) -> Service:
        """A service with those endpoints that load can reach."""
        service = self.scenario.services[name]
        asked = {target.partition("/")[2] for target in self.targets[name]}

        def of(endpoints: Mapping[str, EndpointWork]) -> dict[str, EndpointWork]:
            return {endpoint: each for endpoint, each in endpoints.items() if endpoint in asked}

        versions = {
            version: each.model_copy(update={"endpoints": of(each.endpoints)})
            for version, each in service.versions.items()
        }
        return service.model_copy(update={"endpoints": of(service.endpoints), "versions": versions})

    def policy_keys(self, caller: Target, target: Target) -> list[tuple[str, str]]:
        """The same of what a caller applies to what it calls."""
        own, service = f"{service_of(caller)} -> ", service_of(target)
        names = [own + target, target, own + service]
        name = next((name for name in names if name in self.scenario.policies), service)
        return [*set_keys(self.policy(caller, target), "policies.*.", f"policies.{name}.")]

    @cached_property
    def stations(self) -> dict[Key, Station]:
        """Every station with a queue, callers before callees."""
        places = [(name, *version) for name in self.targets for version in self.deployments[name].items()]
        found = []
        for service, version, each in places:
            if each.workers < UNLIMITED:
                key, works = ("replica", service, version), self.works(service, version)
                holds = each.holds_worker and any(work.script for work in works.values())
                own = each.replicas, each.workers, each.queue, each.discipline
                found.append(Station(key, *own, _times(works), holds_script=holds))
        workers, times = self.scenario.mesh.proxy.workers, ((self.proxy_time, ()),)
        for service, version, each in places if self.crossings else ():
            key = ("proxy", service, version)
            found.append(Station(key, each.replicas, workers, UNLIMITED, "fifo", times, holds_script=False))
        return {station.key: station for station in found}

    def works(self, service: str, version: str) -> dict[Target, Deployment]:
        """What a version does for each target of its service."""
        return {target: self.deployments[target][version] for target in self.targets[service]}

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
        return self.topology.replica_count(service_of(service))

    def thins(self, caller: Target, target: Target, version: str) -> bool:
        """Whether each replica of a version gets a random share of what a caller sends there."""
        random_share = self.policy(caller, target).balance.kind == "random"
        return random_share or self.hosts(caller, target, version) == 1

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
        deployments = (self.deployments[target].values() for target in self.targets[service_of(service)])
        return all(len({repr(work) for work in map(_work, each)}) == 1 for each in deployments)

    @cached_property
    def visits(self) -> dict[str, int]:
        """How many queues one attempt at each service can pass, its own included, retries aside."""
        count: dict[str, int] = {}
        for service in reversed(self.order):
            own = []
            for deployment in self.deployments[service].values():
                calls = (step for stage in deployment.script for step in _calls(stage))
                below = sum(step.repeat * (count[step.call] + self.crossings) for step in calls)
                own.append((deployment.workers < UNLIMITED) + self.crossings + below)
            count[service] = max(own)
        return count

    @cached_property
    def forks(self) -> list[tuple[str, int]]:
        """Services whose scripts do several things at once, and how many queues they can pass meanwhile."""
        return [
            (service, sum(step.repeat * self.queues(service, step.call) for step in _calls(stage)))
            for service in sorted(self.order)
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


def _calls(stage: Stage) -> list[CallStep]:
    return [step for step in stage if isinstance(step, CallStep)]


def _target(service: str, endpoint: str) -> Target:
    return f"{service}/{endpoint}" if endpoint else service


def _times(
    works: Mapping[Target, Deployment],
) -> tuple[tuple[random.Distribution, tuple[Target, ...]], ...]:
    """The times that are different, and the targets that have each."""
    found: list[tuple[Time, list[Target]]] = []
    for target, work in works.items():
        targets = next((targets for time, targets in found if time == work.time), None)
        if targets is None:
            found.append((work.time, targets := []))
        targets.append(target)
    return tuple((time.build(), tuple(targets)) for time, targets in found)


def _named(parts: Mapping[str, object], caller: str, service: str, general: str) -> str:
    """The key that holds for an edge: its own, or the general one."""
    own = f"{caller} -> {service}"
    return own if own in parts else general


def _work(deployment: Deployment) -> tuple[object, ...]:
    """What makes replicas differ to a caller."""
    return tuple(getattr(deployment, name) for name in Deployment.model_fields if name != "replicas")
