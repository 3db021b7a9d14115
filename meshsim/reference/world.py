"""Who is there, and the run from the first arrival to the last answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from meshsim.measure.grid import Grid
from meshsim.measure.records import Records
from meshsim.random import Key
from meshsim.reference import load
from meshsim.reference.caller import Caller
from meshsim.reference.clock import Clock
from meshsim.reference.events import timeline
from meshsim.reference.link import Link
from meshsim.reference.replica import Replica
from meshsim.reference.tables import RequestRow, Tables, integrals
from meshsim.scenario.model import CLIENT, Load, Scenario

if TYPE_CHECKING:
    from meshsim.reference.call import Call

Progress = Callable[[float], None]

EVENTS_A_REPORT = 4096


class World:
    """A scenario, come to life.

    Attributes:
        tables: what is recorded.
        did: how often each mechanism acted.
        links: by (caller, service).
        replicas: by id, in order of the file.
        services: the replicas of each.
        callers: the client, then all replicas.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.seed = seed
        self.clock = Clock()
        self.tables = Tables()
        self.did: Counter[str] = Counter()
        self.edges = scenario.edges()
        self.links = {edge: Link(self.clock, scenario.link(*edge), self.did) for edge in self.edges}
        self.replicas: dict[str, Replica] = {}
        self.services: dict[str, list[Replica]] = {name: [] for name in scenario.services}
        self.client = Caller(self, 0, CLIENT)
        self._build_replicas()
        self.callers = [self.client, *(replica.caller for replica in self.replicas.values())]
        for caller in self.callers:
            caller.connect(self)

    def run(self, progress: Progress | None = None) -> bool:
        """Run to the end; True if nothing is left to do then."""
        self.clock.process(timeline(self))
        load.begin(self)
        limit = self.scenario.duration + self.scenario.drain_limit
        events = 0
        while self.clock.working and self.clock.peek() <= limit:
            self.clock.step()
            events += 1
            if progress is not None and events % EVENTS_A_REPORT == 0:
                progress(self.clock.now)
        return self.clock.working == 0

    def arrive(self, index: int, load: Load, key: Key) -> Call:
        """A request of the client begins now."""
        request = RequestRow(index, load.priority, self.clock.now)
        self.tables.requests.append(request)
        return self.client.call(load.to, key, request, extra=False)

    def records(self, *, complete: bool, interrupted: bool) -> Records:
        """All that is known at the end."""
        grid = Grid.of(self.scenario)
        replicas = self.replicas.items()
        # a run that is cut off at the limit lasted until then, whenever its last event was
        limit = self.scenario.duration + self.scenario.drain_limit
        end = self.clock.now if complete or interrupted else limit
        busy, queued = integrals([replica.levels for _, replica in replicas], grid, end)
        return Records(
            engine="reference",
            seed=self.seed,
            end=end,
            complete=complete,
            grid=grid,
            edges=self.edges,
            replicas=[(replica.caller.service, replica.version, name) for name, replica in replicas],
            requests=self.tables.request_columns(),
            calls=self.tables.call_columns(),
            attempts=self.tables.attempt_columns(),
            busy=busy,
            queued=queued,
            ejections=self.tables.ejections,
            interrupted=interrupted,
        )

    def _build_replicas(self) -> None:
        for service, configured in self.scenario.services.items():
            for version, deployment in configured.deployments().items():
                for place in range(deployment.replicas):
                    name = f"{service}/{version}/{place}" if version else f"{service}/{place}"
                    index = len(self.replicas)
                    caller = Caller(self, index + 1, service)
                    replica = Replica(index, version, deployment, caller, self.did)
                    self.replicas[name] = replica
                    self.services[service].append(replica)
