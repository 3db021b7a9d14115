"""Replicas come and go: a deployment has as many as are wanted, and replaces the old by new ones.

    start --startup, and configuration--> (certificate) --> ready --> leave --drain--> gone
      |                                        |
      +--- nobody wants it any more: gone -----+

A restart begins a new generation. The new start, as far as `surge` allows more than wanted; the old leave, as
far as `unavailable` allows fewer to be ready.

Source: Kubernetes, Deployments: rolling update, ``maxSurge`` and ``maxUnavailable``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf

from meshsim.reference.control_plane import ControlPlane
from meshsim.reference.replica import Replica
from meshsim.reference.run import Run
from meshsim.scenario.model import Event


class Deployment:
    """The replicas of a version of a service. `own` are those that start or are ready, the oldest first."""

    def __init__(
        self, run: Run, plane: ControlPlane, replicas: Sequence[Replica], shut: Callable[[Replica], None]
    ) -> None:
        self.run = run
        self.clock = run.clock
        self.did = run.did
        self.plane = plane
        self.shut = shut  # has a replica go down for good
        self.own = [replica for replica in replicas if not replica.added]
        self.later: Iterator[Replica] = iter([replica for replica in replicas if replica.added])
        self.ready = set(self.own)
        self.generations = dict.fromkeys(self.own, 0)
        self.generation = self.surge = self.unavailable = 0
        self.wanted = len(self.own)
        self.at_work = False
        run.lives.update((replica.index, (0.0, inf)) for replica in self.own)

    def change(self, event: Event) -> None:
        """Other replicas are wanted: so many, or new ones."""
        if event.replicas is not None:
            self.wanted = event.replicas
        if event.restart is not None:
            self.generation += 1
            self.surge, self.unavailable = event.restart.surge, event.restart.unavailable
        self.act()

    def act(self) -> None:
        """Do what there is to do; whoever calls again meanwhile need not wait."""
        if not self.at_work:
            self.at_work = True
            while self._step():
                pass
            self.at_work = False

    def _step(self) -> bool:
        """The first thing to do; False if there is none."""
        new = [replica for replica in self.own if self.generations[replica] == self.generation]
        old = [replica for replica in self.own if self.generations[replica] < self.generation]
        new_starting, old_starting = (
            [replica for replica in replicas if replica not in self.ready] for replicas in (new, old)
        )
        spare = len(self.ready) + len(old_starting) - (self.wanted - self.unavailable)
        if len(new) < self.wanted and len(self.own) < self.wanted + self.surge:
            self.did["surge"] += len(self.own) >= self.wanted
            self._start(next(self.later))
        elif len(new) > self.wanted:
            self.did["left before an older one"] += bool(new_starting) and new[-1] in self.ready
            self._leave((new_starting or new)[-1])
        elif old_starting and spare > 0:
            self.did["replaced before it was ready"] += 1
            self._leave(old_starting[0])
        elif old and spare > 0:
            self.did["unavailable"] += len(self.ready) <= self.wanted
            self._leave(old[0])
        else:
            return False
        return True

    def _start(self, replica: Replica) -> None:
        self.did["replica started"] += 1
        self.own.append(replica)
        self.generations[replica] = self.generation
        replica.begin(lambda: self._is_ready(replica))
        self.plane.connect(replica.caller)

        def grown() -> None:
            if replica in self.own:
                replica.note("startup")

        if replica.deployment.startup == 0.0:
            grown()
        else:
            self.clock.after(replica.deployment.startup, grown)

    def _is_ready(self, replica: Replica) -> None:
        self.did["replica ready"] += 1
        self.run.lives[replica.index] = self.clock.now, inf
        self.ready.add(replica)
        self.plane.add(replica.service, replica.index)
        self.act()

    def _leave(self, replica: Replica) -> None:
        self.own.remove(replica)
        if replica not in self.ready:
            self.did["left before it was ready"] += 1
            self.shut(replica)
            return
        self.did["replica left"] += 1
        self.ready.remove(replica)
        self.plane.remove(replica.service, replica.index)
        if replica.deployment.drain == 0.0:
            self._end(replica)
        else:
            self.clock.after(replica.deployment.drain, lambda: self._end(replica))

    def _end(self, replica: Replica) -> None:
        self.run.lives[replica.index] = self.run.lives[replica.index][0], self.clock.now
        self.shut(replica)
