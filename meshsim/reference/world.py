"""Who is there, and the run from the first arrival to the last answer."""

from __future__ import annotations

from collections.abc import Callable

import simpy

from meshsim.measure.grid import Grid
from meshsim.measure.records import Attempts, Calls, Records, Requests
from meshsim.random import ENDPOINT, Key, u01
from meshsim.reference import load
from meshsim.reference.balance import weighted
from meshsim.reference.caller import Caller
from meshsim.reference.certificate import Authority
from meshsim.reference.events import Events
from meshsim.reference.link import Link
from meshsim.reference.replica import Replica
from meshsim.reference.run import Run
from meshsim.reference.tables import RequestRow, columns, integrals
from meshsim.scenario.model import CLIENT, Load, Scenario
from meshsim.scenario.topology import Topology

EVENTS_A_REPORT = 4096


class World:
    """A scenario that is being simulated. `did` counts how often each mechanism acted."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._shared = run = Run(scenario, seed)
        self.did = run.did
        self.topology = topology = Topology(scenario)
        tracked = zip(topology.edges, topology.tracked, strict=True)
        self.links = {edge: Link(run, *edge, which) for edge, which in tracked}
        mtls = scenario.mesh.mtls
        self.authority = None if mtls is None else Authority(run, mtls)
        self.callers = [Caller(run, proxy, self.authority) for proxy in topology.proxies]  # the client first
        self.replicas: dict[str, Replica] = {}  # by id, in order of the file
        services: dict[str, dict[int, Replica]] = {service: {} for service in scenario.services}
        for place in topology.replicas:
            replica = Replica(place, self.callers[topology.proxy_of(place).number])
            self.replicas[place.name] = replica
            services[place.service][place.number] = replica
        for caller in self.callers:
            caller.connect(topology, self.links, services)

    def run(self, progress: Callable[[float], None] | None = None) -> bool:
        """Run to the end; True if nothing is left to do then."""
        clock, scenario = self._shared.clock, self._shared.scenario
        events = Events(self._shared, self.topology, self.callers, self.replicas, self.links, self.authority)
        clock.process(events.timeline())
        load.begin(self._shared, self.arrive)
        limit = scenario.duration + scenario.drain_limit
        fired = 0
        while clock.working and clock.peek() <= limit:
            clock.step()
            fired += 1
            if progress is not None and fired % EVENTS_A_REPORT == 0:
                progress(clock.now)
        return clock.working == 0

    @staticmethod
    def _endpoint(load: Load, key: Key) -> str:
        """What a request of a load asks for; the service itself if the load names no endpoints."""
        shares = load.endpoints or {"": 1.0}
        return next(iter(shares)) if len(shares) == 1 else weighted(shares, u01(key, ENDPOINT))

    def arrive(self, index: int, load: Load, key: Key) -> simpy.Process:
        """A request of the client begins now; the process ends with its answer."""
        endpoint = self._endpoint(load, key)
        request = RequestRow(index, load.priority, self._shared.clock.now, endpoint=endpoint)
        self._shared.requests.append(request)
        return self.callers[0].call((CLIENT, load.to, endpoint), key, request, extra=False).process

    def records(self, *, complete: bool, interrupted: bool) -> Records:
        """All that is known at the end."""
        run, scenario = self._shared, self._shared.scenario
        grid = Grid.of(scenario)
        # a run that is cut off at the limit lasted until then, whenever its last event was
        limit = scenario.duration + scenario.drain_limit
        end = run.clock.now if complete or interrupted else limit
        busy, queued = integrals([replica.levels for replica in self.replicas.values()], grid, end)
        return Records(
            engine="reference",
            seed=run.seed,
            end=end,
            complete=complete,
            grid=grid,
            edges=list(self.links),
            replicas=self.topology.labels,
            endpoints=self.topology.with_endpoints,
            requests=columns(Requests, run.requests),
            calls=columns(Calls, run.calls),
            attempts=columns(Attempts, run.attempts),
            busy=busy,
            queued=queued,
            ejections=run.ejections,
            connections=run.connections,
            certificates=None if run.scenario.mesh.mtls is None else run.certificates,
            pushes=run.pushes,
            lives=[(replica, *life) for replica, life in run.lives.items()] if self.topology.rolls else [],
            interrupted=interrupted,
        )
