"""Who is where, and through what they reach each other: replicas, proxies, edges, numbered once for all.

A proxy makes the calls of the replicas behind it; its policies' state is its own. With sidecars each replica
has one. So has the client, whose passes cost nothing; and so has each replica where there is no data plane: a
client library. The numbers are part of the keys of draws, and of the columns of results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from meshsim.scenario.model import CLIENT, Deployment, Event, Scenario
from meshsim.scenario.rolls import Roll, rolls

CLIENT_PROXY = f"{CLIENT}/0"
"""The name of the client's proxy, number 0."""

Edge = tuple[str, str]
"""(caller, service) that can carry calls."""
RouteKey = tuple[str, str, str]
"""(caller, service, endpoint); the endpoint ``""`` is the service itself."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One instance of a version of a service; a service without versions has one, ``""``.

    The number counts all replicas in the order of the file, then those that events may add; the name is its
    id, such as ``cart/v1/0``. One that is `added` is not there at first.
    """

    number: int
    name: str
    service: str
    version: str
    deployment: Deployment
    added: bool = False

    def affected_by(self, event: Event) -> bool:
        """Whether an event is about it: it names it, or its service, and no other version of that."""
        named = self.service == event.service and event.version in (None, self.version)
        return named or self.name == event.replica


@dataclass(frozen=True, slots=True)
class Proxy:
    """What makes the calls of some replicas, or the client's, which is number 0, ``client/0``.

    It is `in_path` if all that its replicas send and receive passes it, which takes time. It is `identified`
    if it has certificates.
    """

    number: int
    name: str
    replicas: tuple[Replica, ...]
    in_path: bool
    identified: bool = False

    @property
    def shared(self) -> bool:
        """Whether it outlives each of its replicas."""
        return len(self.replicas) > 1

    @property
    def callers(self) -> set[str]:
        """Whose calls it makes: services, or the client."""
        return {replica.service for replica in self.replicas} or {CLIENT}


Extra = Sequence[tuple[str, str]]
"""Services and versions of replicas that are added to those of a scenario and its events."""


def _id(service: str, version: str, place: int) -> str:
    return f"{service}/{version}/{place}" if version else f"{service}/{place}"


def version_of(id_: str) -> str:
    """The version in the id of a replica, or of its proxy; empty where it has none."""
    return id_.split("/")[1] if id_.count("/") == 2 else ""


class Topology:
    """The replicas, proxies and edges of a scenario; what is large is made when it is first asked for.

    `extra` are replicas that are added besides, by service and version, in the order in which they come.
    """

    def __init__(self, scenario: Scenario, extra: Extra = ()) -> None:
        self.scenario = scenario
        self.extra = extra
        self.edges: list[Edge] = scenario.edges()
        self.number_of = {edge: number for number, edge in enumerate(self.edges)}
        self.sidecars = scenario.mesh.dataplane == "sidecar"

    @cached_property
    def replicas(self) -> list[Replica]:
        """By number: those of the start, then those that events may add, in order of time."""
        found: list[Replica] = []
        works: dict[tuple[str, str], Deployment] = {}
        for service, config in self.scenario.services.items():
            for version, work in config.deployments().items():
                works[service, version] = work
                for i in range(work.replicas):
                    found.append(Replica(len(found), _id(service, version, i), service, version, work))
        names = {key: work.replicas for key, work in works.items()}
        for roll in self.rolls:
            for _ in range(roll.more):
                key = roll.group
                found.append(Replica(len(found), _id(*key, names[key]), *key, works[key], added=True))
                names[key] += 1
        for key in self.extra:
            found.append(Replica(len(found), _id(*key, names[key]), *key, works[key], added=True))
            names[key] += 1
        return found

    def rolled(self, event: Event) -> list[tuple[str, str]]:
        """The (service, version) pairs whose replicas an event scales or restarts."""
        service = event.service or ""
        versions = self.scenario.services[service].deployments()
        return [(service, version) for version in versions if event.version in (None, version)]

    @cached_property
    def rolls(self) -> list[Roll]:
        """What events do to each version that they scale or restart, in order of time."""
        events = sorted((event for event in self.scenario.events if event.rolls), key=lambda event: event.at)
        start = {
            (name, version): work.replicas
            for name, service in self.scenario.services.items()
            for version, work in service.deployments().items()
        }
        return rolls(start, ((self.rolled(each), each.replicas, each.restart is not None) for each in events))

    @property
    def labels(self) -> list[tuple[str, str, str]]:
        """(service, version, id) of every replica, by its number: as results name them."""
        return [(each.service, each.version, each.name) for each in self.replicas]

    @cached_property
    def proxies(self) -> list[Proxy]:
        """By number: the client's, then one for each replica."""
        mtls = self.scenario.mesh.mtls is not None
        found = [Proxy(0, CLIENT_PROXY, (), False, mtls)]
        for each in self.replicas:
            sidecar = self.scenario.has_sidecar(each.service)
            found.append(Proxy(each.number + 1, each.name, (each,), sidecar, mtls and sidecar))
        return found

    def proxy(self, name: str) -> Proxy:
        """The proxy with an id."""
        return next(proxy for proxy in self.proxies if proxy.name == name)

    def proxy_of(self, replica: Replica) -> Proxy:
        """The proxy that makes a replica's calls."""
        return self.proxies[replica.number + 1]

    def edges_of(self, proxy: Proxy) -> list[tuple[int, Edge]]:
        """The edges whose calls a proxy makes, with their numbers."""
        return sorted(pair for caller in proxy.callers for pair in self._edges_from.get(caller, ()))

    def lone_edge(self, service: str, *, secured: bool) -> int | None:
        """The only edge to a service that uses mTLS, or that does not; None if there are several, or none."""
        edges = (edge for edge in self.edges if edge[1] == service)
        found = [self.number_of[edge] for edge in edges if self.scenario.secures(*edge) is secured]
        return found[0] if len(found) == 1 else None

    @cached_property
    def tracked(self) -> list[bool]:
        """Of each edge, by number, whether its connections are tracked: something says how long they last."""
        scenario = self.scenario
        pushes = (number for number, event in enumerate(scenario.events) if event.set)
        stages = [scenario, *map(scenario.policies_after, pushes)]
        return [
            scenario.connects(*edge) or any(stage.written(*edge).connection is not None for stage in stages)
            for edge in self.edges
        ]

    @cached_property
    def routes(self) -> list[RouteKey]:
        """(caller, service, endpoint) of every route, by number: of an edge first that to the service itself.

        A scenario without endpoints has one route an edge, of the same number.
        """
        return self.scenario.routes()

    @cached_property
    def route_number(self) -> dict[RouteKey, int]:
        """The number of each route."""
        return {route: number for number, route in enumerate(self.routes)}

    @cached_property
    def edge_of(self) -> list[int]:
        """The number of each route's edge."""
        return [self.number_of[caller, service] for caller, service, _ in self.routes]

    @cached_property
    def routes_of(self) -> dict[Edge, list[tuple[int, str]]]:
        """The routes of each edge: number and endpoint."""
        found: dict[Edge, list[tuple[int, str]]] = {edge: [] for edge in self.edges}
        for number, (caller, service, endpoint) in enumerate(self.routes):
            found[caller, service].append((number, endpoint))
        return found

    @cached_property
    def endpoints(self) -> dict[str, list[str]]:
        """The endpoints of each service, by number; the first, ``""``, is the service itself."""
        return {name: ["", *service.endpoints] for name, service in self.scenario.services.items()}

    @cached_property
    def with_endpoints(self) -> dict[str, list[str]]:
        """`endpoints` of the services that have any but themselves."""
        return {name: found for name, found in self.endpoints.items() if len(found) > 1}

    @cached_property
    def versioned(self) -> bool:
        """Whether any replica is one of a version."""
        return any(replica.version for replica in self.replicas)

    @cached_property
    def endpoint_of(self) -> list[int]:
        """The number of each route's endpoint at the service."""
        return [self.endpoints[service].index(endpoint) for _, service, endpoint in self.routes]

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        """(replica, endpoint) by number: what visits are counted by."""
        return [
            (replica.number, endpoint)
            for replica in self.replicas
            for endpoint in range(len(self.endpoints[replica.service]))
        ]

    @cached_property
    def first_place(self) -> list[int]:
        """The place of the first endpoint, by replica."""
        sizes = (len(self.endpoints[replica.service]) for replica in self.replicas)
        return [0, *accumulate(sizes)][:-1]

    @cached_property
    def _edges_from(self) -> dict[str, list[tuple[int, Edge]]]:
        found: dict[str, list[tuple[int, Edge]]] = {}
        for number, edge in enumerate(self.edges):
            found.setdefault(edge[0], []).append((number, edge))
        return found

    @cached_property
    def by_service(self) -> dict[str, list[Replica]]:
        """The replicas of each service, those that events may add included."""
        found: dict[str, list[Replica]] = {service: [] for service in self.scenario.services}
        for replica in self.replicas:
            found[replica.service].append(replica)
        return found

    @property
    def endpoints_at_start(self) -> dict[str, tuple[int, ...]]:
        """The numbers of the replicas of each service that are there at first."""
        return {
            service: tuple(replica.number for replica in found if not replica.added)
            for service, found in self.by_service.items()
        }

    def affected_by(self, event: Event) -> list[Replica]:
        """The replicas that an event is about."""
        return [replica for replica in self.replicas if replica.affected_by(event)]

    def replica_count(self, service: str) -> int:
        """How many replicas a service has at the start."""
        return sum(work.replicas for work in self.scenario.services[service].deployments().values())

    def proxy_count(self, caller: str) -> int:
        """How many proxies make the calls of a service, or of the client."""
        return 1 if caller == CLIENT else self.replica_count(caller)

    def programs(self) -> list[str]:
        """Services, some versions of which are programs of the user's own."""
        works = {name: service.deployments().values() for name, service in self.scenario.services.items()}
        return [name for name in works if any(work.live is not None for work in works[name])]
