"""From a scenario to a mesh on a clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshsim.measure.grid import Grid
from meshsim.mesh.clock import Clock
from meshsim.mesh.dataplane import Dataplane, Sidecar
from meshsim.mesh.gauge import Gauge
from meshsim.mesh.link import Link
from meshsim.mesh.load import Client
from meshsim.mesh.mesh import Mesh
from meshsim.mesh.network import Network
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.replica import Replica, Workload
from meshsim.mesh.rows import RowRecorder
from meshsim.mesh.spans import Tracer
from meshsim.mesh.streams import StreamRecorder
from meshsim.scenario import model
from meshsim.scenario.events import Events
from meshsim.scenario.machines import ConfiguredRoute, Custom, Site, Target
from meshsim.scenario.parts import Place, places, queue, sources, workload
from meshsim.units import UNLIMITED


@dataclass
class Builder:
    """Puts one mesh together.

    Attributes:
        targets: replicas of each service, as callers find them.
        edges: numbers of the (caller, service) pairs.
        routes: every route, with who owns it: (caller's instance number, caller, service, route).
    """

    scenario: model.Scenario
    seed: int
    clock: Clock
    custom: Custom
    mesh: Mesh = field(init=False)
    targets: dict[str, list[Target]] = field(default_factory=dict)
    routes: list[tuple[int, str, str, ConfiguredRoute]] = field(default_factory=list)
    edges: dict[tuple[str, str], int] = field(default_factory=dict)

    def build(self) -> Mesh:
        """The whole mesh, its events and loads on the clock."""
        recorder = new_recorder(self.scenario)
        rows = self.scenario.keep == "records"
        sampling = self.scenario.tracing.sampling if rows else 0.0  # spans would grow with the requests
        client = Client(self.clock, recorder, self.scenario.duration, sampling)
        self.mesh = Mesh(self.clock, recorder, Tracer(), Network(), client)
        self._links()
        self._replicas()
        self._routes_of_client()
        for replica in self.mesh.replicas.values():
            self._routes_of(replica)
        Events(
            self.scenario, self.seed, self.clock, self.mesh.replicas, self.mesh.links, self.routes
        ).schedule()
        for number, load in enumerate(self.scenario.load):
            route = self.mesh.client_routes[load.to]
            self.mesh.sources.extend(sources(client, route, self.seed, number, load))
        self.mesh.begin()
        return self.mesh

    # ---- who is there -----------------------------------------------------------------------------

    def _links(self) -> None:
        mesh = self.mesh
        mesh.edges = self.scenario.edges()
        self.edges = {edge: number for number, edge in enumerate(mesh.edges)}
        for edge in mesh.edges:
            written = self.scenario.link(*edge)
            mesh.links[edge] = Link(written.latency.build(), written.loss)
        mesh.network.links = [mesh.links[edge] for edge in mesh.edges]

    def _replicas(self) -> None:
        workloads = {}
        for place in places(self.scenario):
            self.targets.setdefault(place.service, []).append(Target(place.number, place.name, place.version))
            version = place.service, place.version
            if version not in workloads:
                workloads[version] = workload(place.deployment)
            self._replica(place, workloads[version])

    def _replica(self, place: Place, work: Workload) -> None:
        mesh = self.mesh
        grid = Grid.of(self.scenario)
        gauges = [Gauge(grid.origin, grid.width, grid.most) for _ in range(2)]
        replica = Replica(
            self.clock, mesh.recorder, mesh.tracer, place.number, place.name, work, queue(place.deployment),
            self._dataplane(), gauges[0], gauges[1],
        )  # fmt: skip
        mesh.replicas[place.name] = replica
        mesh.network.replicas.append(replica)

    def _dataplane(self) -> Dataplane:
        mesh = self.scenario.mesh
        free = mesh.proxy.workers == UNLIMITED and mesh.proxy.time == model.ZERO
        if mesh.dataplane == "none" or free:
            return Dataplane()
        return Sidecar(self.clock, mesh.proxy.time.build(), mesh.proxy.workers)

    # ---- how they reach each other ----------------------------------------------------------------

    def _routes_of_client(self) -> None:
        for load in self.scenario.load:
            if load.to not in self.mesh.client_routes:
                route = self._route(0, model.CLIENT, load.to, Dataplane())
                self.mesh.client_routes[load.to] = route.route

    def _routes_of(self, replica: Replica) -> None:
        service = replica.name.partition("/")[0]
        for stage in replica.workload.stages:
            for step in stage:
                if step.service and step.service not in replica.routes:
                    route = self._route(replica.number + 1, service, step.service, replica.dataplane)
                    replica.routes[step.service] = route.route

    def _route(self, instance: int, caller: str, service: str, dataplane: Dataplane) -> ConfiguredRoute:
        mesh = self.mesh
        site = Site(
            self.clock, mesh.recorder, mesh.tracer, mesh.network, dataplane, instance, self.seed, self.custom
        )  # fmt: skip
        edge = self.edges[caller, service]
        route = ConfiguredRoute(
            site, service, edge, self.targets[service], self.scenario.policy(caller, service)
        )
        self.routes.append((instance, caller, service, route))
        return route


def new_recorder(scenario: model.Scenario) -> Recorder:
    """The recorder of what the scenario wants to keep."""
    if scenario.keep == "records":
        return RowRecorder(scenario.duration)
    grid = Grid.of(scenario)
    service_of = [
        number
        for number, service in enumerate(scenario.services.values())
        for deployment in service.deployments().values()
        for _ in range(deployment.replicas)
    ]
    start = 0.0 if scenario.warmup == "auto" else float(scenario.warmup)
    return StreamRecorder(grid.origin, grid.width, grid.most, start, len(scenario.edges()), service_of)
