"""From what is written to the parts of a mesh that every body builds: replicas' work, and load."""

from __future__ import annotations

from collections.abc import Iterator

from meshsim import random
from meshsim.mesh.link import Link
from meshsim.mesh.load import Client, Intensity, Modulated, RateLoad, Source, TraceLoad, User
from meshsim.mesh.proxy import Route
from meshsim.mesh.queue import Lifo, Priority, Queue
from meshsim.mesh.replica import FINISH, LEAVE_QUEUE, STOP, ScriptStep, Workload
from meshsim.scenario import model
from meshsim.scenario.topology import Replica, Topology

QUEUES = {"fifo": Queue, "lifo": Lifo, "priority": Priority}
ABANDONED = {"finish": FINISH, "leave_queue": LEAVE_QUEUE, "stop": STOP}


def queue(deployment: model.Deployment) -> Queue:
    """The waiting room of one replica."""
    return QUEUES[deployment.discipline]()


def link(config: model.Link) -> Link:
    """The link of an edge."""
    return Link(config.latency.build(), config.loss)


def workload(replica: Replica, topology: Topology) -> Workload:
    """How a replica works, and all others of its version."""
    deployment = replica.deployment

    def step(config: model.CallStep | model.SleepStep) -> ScriptStep:
        if isinstance(config, model.SleepStep):
            return ScriptStep(-1, 1.0, False, config.sleep.build())
        edge = topology.edges.index((replica.service, config.call))
        return ScriptStep(edge, config.probability, config.optional, None)

    return Workload(
        time=deployment.time.build(),
        error_ratio=deployment.errors,
        workers=deployment.workers,
        room=deployment.queue,
        holds_worker=deployment.holds_worker,
        when_abandoned=ABANDONED[deployment.when_abandoned],
        stages=[[step(config) for config in stage] for stage in deployment.script],
    )


def sources(client: Client, route: Route, seed: int, number: int, load: model.Load) -> Iterator[Source]:
    """What sends the requests of one load, which is number `number` of the file."""
    key = random.derive(seed, number)
    if load.users is not None:
        for user in range(load.users):
            yield User(client, route, number, random.derive(key, user), load.priority, load.think.build())
    elif load.arrivals.trace is not None:
        yield TraceLoad(client, route, number, key, load.priority, list(load.arrivals.trace.times))
    else:
        random_gaps = load.arrivals.kind != "constant"
        yield RateLoad(
            client, route, number, key, load.priority, intensity(load, key, client.until), random_gaps
        )


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
