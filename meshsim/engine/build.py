"""From a scenario to a mesh on a clock."""

from __future__ import annotations

from meshsim.engine.fleet import SimulatedFleet
from meshsim.measure.grid import Grid
from meshsim.mesh.certificate import Authority
from meshsim.mesh.clock import Clock
from meshsim.mesh.gauge import Gauge
from meshsim.mesh.load import Client
from meshsim.mesh.mesh import Mesh
from meshsim.mesh.network import Network
from meshsim.mesh.proxy import Proxy
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.replica import Replica
from meshsim.mesh.rows import RowRecorder
from meshsim.mesh.spans import Tracer
from meshsim.mesh.station import Station
from meshsim.mesh.streams import StreamRecorder
from meshsim.scenario import model
from meshsim.scenario.events import Control, schedule_events
from meshsim.scenario.guards import Guards
from meshsim.scenario.machines import ConfiguredProxy, Custom
from meshsim.scenario.parts import agent, link, queue, sources, station, workload
from meshsim.scenario.push import Publisher, control_plane
from meshsim.scenario.topology import Topology


def build(scenario: model.Scenario, seed: int, clock: Clock, custom: Custom) -> tuple[Mesh, Control]:
    """A mesh, its events and loads on the clock, and what controls it."""
    topology = Topology(scenario)
    recorder = new_recorder(topology)
    rows = scenario.keep == "records"
    sampling = scenario.tracing.sampling if rows else 0.0  # spans would grow with the requests
    client = Client(clock, recorder, scenario.duration, sampling)
    mesh = Mesh(clock, recorder, Tracer(), Network(), client)
    _add_links(mesh, topology)
    for proxy in topology.proxies:
        passes = scenario.mesh.proxy
        own = station(clock, passes.time, passes.workers) if proxy.in_path else Station()
        mesh.proxies.append(
            Proxy(clock, recorder, mesh.tracer, mesh.network, proxy.number, seed, own, proxy.shared)
        )
    _add_agents(mesh, topology)
    _add_replicas(mesh, topology)
    guards = Guards(topology)
    proxies = [ConfiguredProxy(proxy, topology, custom, guards) for proxy in mesh.proxies]
    control = _control(mesh, topology, proxies)
    schedule_events(
        topology, clock, replicas=mesh.replicas, links=mesh.links, proxies=proxies, authority=mesh.authority,
        control=control,
    )  # fmt: skip
    for number, load in enumerate(scenario.load):
        routes = {
            name: each.route for name, each in proxies[0].upstreams[model.CLIENT, load.to].routes.items()
        }
        mesh.sources.extend(sources(client, routes, seed, number, load))
    mesh.begin()
    return mesh, control


def _add_links(mesh: Mesh, topology: Topology) -> None:
    mesh.edges = topology.edges
    for edge, tracked in zip(mesh.edges, topology.tracked, strict=True):
        mesh.links[edge] = link(topology.scenario.link(*edge), tracked)
    mesh.network.links = list(mesh.links.values())


def _add_agents(mesh: Mesh, topology: Topology) -> None:
    mtls = topology.scenario.mesh.mtls
    if mtls is not None:
        mesh.authority = Authority(station(mesh.clock, mtls.ca.time, mtls.ca.workers))
        for place, proxy in zip(topology.proxies, mesh.proxies, strict=True):
            if place.identified:
                proxy.agent = agent(proxy, mesh.authority, mtls)


def _add_replicas(mesh: Mesh, topology: Topology) -> None:
    workloads = {}
    grid = Grid.of(topology.scenario)
    for place in topology.replicas:
        version = place.service, place.version
        if version not in workloads:
            workloads[version] = workload(place, topology)
        gauges = [Gauge(grid.origin, grid.width, grid.most) for _ in range(2)]
        replica = Replica(
            mesh.clock, mesh.recorder, mesh.tracer, place.number, place.name, workloads[version],
            queue(place.deployment), mesh.proxies[topology.proxy_of(place).number], gauges[0], gauges[1],
            topology.first_place[place.number],
        )  # fmt: skip
        replica.downs = int(place.added)
        mesh.replicas[place.name] = replica
        mesh.network.replicas.append(replica)


def _control(mesh: Mesh, topology: Topology, proxies: list[ConfiguredProxy]) -> Control:
    """The control plane of a simulated mesh, and its replicas that come and go."""
    publisher = Publisher(topology.scenario, topology.endpoints_at_start)
    plane = control_plane(topology, mesh.clock, publisher)
    added = {topology.proxy_of(place).number for place in topology.replicas if place.added}
    mesh.present = len(proxies) - len(added)
    subscriptions = [
        proxy.follow(plane, connected=number not in added) for number, proxy in enumerate(proxies)
    ]
    rest = topology, mesh, plane, publisher, subscriptions
    return Control(plane, publisher, SimulatedFleet(*rest) if topology.rolls else None)


def new_recorder(topology: Topology) -> Recorder:
    """The recorder of what the scenario wants to keep."""
    scenario = topology.scenario
    if scenario.keep == "records":
        return RowRecorder(scenario.duration, topology.versioned)
    grid = Grid.of(scenario)
    numbers = {service: number for number, service in enumerate(scenario.services)}
    service_of = [numbers[topology.replicas[replica].service] for replica, _ in topology.places]
    start = 0.0 if scenario.warmup == "auto" else float(scenario.warmup)
    names = {name: [*service.deployments()] for name, service in scenario.services.items()}
    version_of = [
        names[each.service].index(each.version) + 1 if len(names[each.service]) > 1 else 0
        for each in topology.replicas
    ]
    return StreamRecorder(grid.origin, grid.width, grid.most, start, topology.edge_of, service_of, version_of)
