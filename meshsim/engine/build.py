"""From a scenario to a mesh on a clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from meshsim import random
from meshsim.engine.push import Push
from meshsim.measure.grid import Grid
from meshsim.mesh import disruption
from meshsim.mesh.clock import Clock
from meshsim.mesh.dataplane import Dataplane, Sidecar
from meshsim.mesh.disruption import BEGIN, END, Disruption, Factors, Overrides
from meshsim.mesh.gauge import Gauge
from meshsim.mesh.link import Link
from meshsim.mesh.load import Client, Intensity, Modulated, RateLoad, Source, TraceLoad, User
from meshsim.mesh.mesh import Mesh
from meshsim.mesh.network import Network
from meshsim.mesh.queue import Lifo, Priority, Queue
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.replica import FINISH, LEAVE_QUEUE, STOP, Replica, ScriptStep, Workload
from meshsim.mesh.rows import RowRecorder
from meshsim.mesh.spans import Tracer
from meshsim.mesh.streams import StreamRecorder
from meshsim.scenario import model
from meshsim.scenario.machines import ConfiguredRoute, Custom, Site, Target
from meshsim.units import UNLIMITED

QUEUES = {"fifo": Queue, "lifo": Lifo, "priority": Priority}
ABANDONED = {"finish": FINISH, "leave_queue": LEAVE_QUEUE, "stop": STOP}


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
    slow: dict[str, Overrides] = field(default_factory=dict)
    errors: dict[str, Overrides] = field(default_factory=dict)

    def build(self) -> Mesh:
        """The whole mesh, its events and loads on the clock."""
        recorder = new_recorder(self.scenario)
        rows = self.scenario.keep == "records"
        sampling = self.scenario.tracing.sampling if rows else 0.0  # spans would grow with the requests
        client = Client(self.clock, recorder, self.scenario.duration, sampling)
        self.mesh = Mesh(self.clock, recorder, Tracer(), Network(), client)
        self._links()
        for name, service in self.scenario.services.items():
            self._replicas(name, service)
        self._routes_of_client()
        for replica in self.mesh.replicas.values():
            self._routes_of(replica)
        self._events()
        for number, load in enumerate(self.scenario.load):
            self.mesh.sources.extend(self._sources(number, load))
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

    def _replicas(self, name: str, service: model.Service) -> None:
        self.targets[name] = []
        for version, deployment in service.deployments().items():
            workload = self._workload(deployment)
            for i in range(deployment.replicas):
                id_ = f"{name}/{version}/{i}" if version else f"{name}/{i}"
                replica = self._replica(id_, workload, QUEUES[deployment.discipline]())
                self.targets[name].append(Target(replica.number, id_, version))

    def _replica(self, name: str, workload: Workload, queue: Queue) -> Replica:
        mesh = self.mesh
        grid = Grid.of(self.scenario)
        gauges = [Gauge(grid.origin, grid.width, grid.most) for _ in range(2)]
        replica = Replica(
            self.clock, mesh.recorder, mesh.tracer, len(mesh.replicas), name, workload, queue,
            self._dataplane(), gauges[0], gauges[1],
        )  # fmt: skip
        mesh.replicas[name] = replica
        mesh.network.replicas.append(replica)
        self.slow[name] = Factors(1.0)
        self.errors[name] = Overrides(workload.error_ratio)
        return replica

    def _workload(self, deployment: model.Deployment) -> Workload:
        return Workload(
            time=deployment.time.build(),
            error_ratio=deployment.errors,
            workers=deployment.workers,
            room=deployment.queue,
            holds_worker=deployment.holds_worker,
            when_abandoned=ABANDONED[deployment.when_abandoned],
            stages=[[self._step(step) for step in stage] for stage in deployment.script],
        )

    def _step(self, step: model.CallStep | model.SleepStep) -> ScriptStep:
        if isinstance(step, model.SleepStep):
            return ScriptStep("", 1.0, False, step.sleep.build())
        return ScriptStep(step.call, step.probability, step.optional, None)

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

    # ---- load -------------------------------------------------------------------------------------

    def _sources(self, number: int, load: model.Load) -> Iterator[Source]:
        client = self.mesh.client
        route = self.mesh.client_routes[load.to]
        key = random.derive(self.seed, number)
        if load.users is not None:
            for user in range(load.users):
                yield User(client, route, number, random.derive(key, user), load.priority, load.think.build())
        elif load.arrivals.trace is not None:
            yield TraceLoad(client, route, number, key, load.priority, list(load.arrivals.trace.times))
        else:
            random_gaps = load.arrivals.kind != "constant"
            yield RateLoad(
                client, route, number, key, load.priority, intensity(load, key, client.duration), random_gaps
            )

    # ---- events -----------------------------------------------------------------------------------

    def _events(self) -> None:
        """Puts all events on the clock: at equal times ends before beginnings, then in order of the file."""
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
        for replica in self._befallen(event):
            if event.slow is not None:
                yield disruption.Slowness(replica, self.slow[replica.name], event.slow)
            if event.errors is not None:
                yield disruption.Errors(replica, self.errors[replica.name], event.errors)
            if event.down:
                yield disruption.Outage(replica)
        if event.link is not None:
            yield from self._link_changes(event)

    def _befallen(self, event: model.Event) -> list[Replica]:
        """The replicas of an event on a service or replica."""
        if event.replica is not None:
            return [self.mesh.replicas[event.replica]]
        targets = self.targets[event.service] if event.service is not None else []
        return [self.mesh.replicas[target.name] for target in targets]

    def _link_changes(self, event: model.Event) -> Iterator[Disruption]:
        caller, _, service = (event.link or "").partition(" -> ")
        link = self.mesh.links[caller, service]
        if event.latency_factor is not None:
            yield disruption.Slowdown(link, self._shared(link, "factor"), event.latency_factor)
        if event.loss is not None:
            yield disruption.Loss(link, self._shared(link, "loss"), event.loss)

    def _shared(self, link: Link, what: str) -> Overrides:
        """What all events on a link share."""
        key = f"{id(link)} {what}"
        if key not in self.slow:
            self.slow[key] = Factors(1.0) if what == "factor" else Overrides(link.loss_ratio)
        return self.slow[key]


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


def intensity(load: model.Load, key: random.Key, until: float) -> Intensity:
    """The rate of an open load over time, as far as `until`."""
    if load.arrivals.mmpp is not None:
        return Modulated(key, list(load.arrivals.mmpp.rates), list(load.arrivals.mmpp.mean_times), until)
    if load.rate is not None:
        return Intensity([0.0], [load.rate], [0.0], until)
    starts, rates, slopes = [0.0], [0.0], [0.0]

    def piece(start: float, rate: float, slope: float) -> None:
        if start <= starts[-1]:
            for column in (starts, rates, slopes):
                column.pop()
        for column, value in ((starts, start), (rates, rate), (slopes, slope)):
            column.append(value)

    for i, point in enumerate(load.profile):
        before = rates[-1] + slopes[-1] * (point.at - starts[-1])
        if point.ramp > 0.0:
            end = load.profile[i + 1].at if i + 1 < len(load.profile) else load.profile[-1].at + 1e18
            piece(point.at, before, (point.rate - before) / point.ramp)
            if point.at + point.ramp < end:
                piece(point.at + point.ramp, point.rate, 0.0)
        else:
            piece(point.at, point.rate, 0.0)
    return Intensity(starts, rates, slopes, until)
