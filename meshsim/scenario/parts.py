"""From the configuration to the parts of a mesh that every body builds: replicas' work, and load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshsim import random
from meshsim.mesh.certificate import Agent, Issuer
from meshsim.mesh.clock import Clock
from meshsim.mesh.link import Link
from meshsim.mesh.load import Client, Intensity, Mix, Modulated, RateLoad, Source, TraceLoad, User
from meshsim.mesh.proxy import Proxy, Route
from meshsim.mesh.queue import Lifo, Priority, Queue
from meshsim.mesh.station import Station, WorkerStation
from meshsim.mesh.work import FINISH, LEAVE_QUEUE, STOP, ScriptStep, Work, Workload
from meshsim.policies.backoff import Backoff
from meshsim.policies.certificate import Renewal
from meshsim.policies.split import WeightedSplit
from meshsim.scenario import model
from meshsim.scenario.arrivals import profile_pieces
from meshsim.scenario.topology import Replica, Topology
from meshsim.units import UNLIMITED

QUEUES = {"fifo": Queue, "lifo": Lifo, "priority": Priority}
ABANDONED = {"finish": FINISH, "leave_queue": LEAVE_QUEUE, "stop": STOP}


def queue(deployment: model.Deployment) -> Queue:
    """The waiting room of one replica."""
    return QUEUES[deployment.discipline]()


def link(config: model.Link, tracked: bool) -> Link:
    """The link of an edge, whose connections are tracked or not."""
    return Link(config.latency.build(), config.loss, config.connect.build(), tracked)


def renewal(mtls: model.Mtls) -> Renewal:
    """How long certificates last."""
    backoff = Backoff(mtls.ca.retry.base, mtls.ca.retry.max, 0.0, 1.0)
    return Renewal(mtls.certificate_ttl, mtls.rotate_at, mtls.jitter, backoff)


def station(clock: Clock, time: model.Time, workers: int) -> Station:
    """What passes of this time wait for; nothing where they cost nothing."""
    if workers == UNLIMITED and time == model.ZERO:
        return Station()
    return WorkerStation(clock, time.build(), workers)


def agent(proxy: Proxy, issuer: Issuer, mtls: model.Mtls) -> Agent:
    """The certificates of a proxy, which it does not have yet."""
    return Agent(
        clock=proxy.clock,
        recorder=proxy.recorder,
        issuer=issuer,
        renewal=renewal(mtls),
        number=proxy.number,
        key=random.derive(proxy.key, random.CERTIFICATES),
        station=proxy.station,
        handshake=None if mtls.handshake == model.ZERO else mtls.handshake.build(),
        round_trips=mtls.round_trips,
    )


def workload(replica: Replica, topology: Topology) -> Workload:
    """How a replica works, and all others of its version."""
    deployment = replica.deployment

    def step(config: model.CallStep | model.SleepStep) -> ScriptStep:
        if isinstance(config, model.SleepStep):
            return ScriptStep(-1, 1, 1.0, False, config.sleep.build())
        route = topology.route_number[replica.service, config.service, config.endpoint]
        return ScriptStep(route, config.repeat, config.probability, config.optional, None)

    def work(endpoint: str) -> Work:
        config = topology.scenario.services[replica.service].work(replica.version, endpoint)
        stages = [[step(each) for each in stage] for stage in config.script]
        return Work(config.time.build(), config.errors, stages)

    return Workload(
        workers=deployment.workers,
        room=deployment.queue,
        holds_worker=deployment.holds_worker,
        when_abandoned=ABANDONED[deployment.when_abandoned],
        keep_alive=deployment.keep_alive,
        works=[work(endpoint) for endpoint in topology.endpoints[replica.service]],
    )


RANDOM_GAPS = {"poisson": True, "mmpp": True, "constant": False}
"""Of open loads with a rate: whether the gaps between arrivals are random."""


def sources(
    client: Client, routes: Mapping[str, Route], seed: int, number: int, load: model.Load
) -> Iterator[Source]:
    """What sends the requests of one load, which is number `number` of the file; `routes` by endpoint."""
    key = random.derive(seed, number)
    shares = load.endpoints or {"": 1.0}
    mix = Mix([routes[endpoint] for endpoint in shares], WeightedSplit([*shares.values()]))
    if load.users is not None:
        for user in range(load.users):
            yield User(client, mix, number, random.derive(key, user), load.priority, load.think.build())
    elif load.arrivals.trace is not None:
        yield TraceLoad(client, mix, number, key, load.priority, list(load.arrivals.trace.times))
    else:
        rate, random_gaps = intensity(load, key, client.until), RANDOM_GAPS[load.arrivals.kind]
        yield RateLoad(client, mix, number, key, load.priority, rate, random_gaps)


def intensity(load: model.Load, key: random.Key, until: float) -> Intensity:
    """The rate of an open load over time, as far as `until`."""
    if load.arrivals.mmpp is not None:
        return Modulated(key, list(load.arrivals.mmpp.rates), list(load.arrivals.mmpp.mean_times), until)
    if load.rate is not None:
        return Intensity([0.0], [load.rate], [0.0], until)
    return Intensity(*profile_pieces(load.profile), until)
