"""Replicas come and go: what a Deployment of Kubernetes does when it is scaled or restarted.

    replica   event                                          next
    STARTING  its startup, configuration and certificate     READY: an endpoint from now on
    STARTING  it is not wanted any more                      GONE
    READY     it is not wanted any more                      LEAVING: no endpoint any more, but it serves
    LEAVING   its drain is over                              GONE, with all that it holds

Each, and what it is made of: `meshsim.scenario.fleet`.

Source: Kubernetes, Deployments, rolling update; pkg/controller/deployment/rolling.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

from meshsim.mesh.clock import Event

STARTING = 0
READY = 1
LEAVING = 2
GONE = 3


class Pod(Event):
    """A replica in the course of its life.

    Attributes:
        number: of the replica; the later it starts, the higher.
        generation: how often its deployment had been restarted when it started.
        state: where it is in its life.
    """

    def __init__(self, number: int, generation: int = 0, state: int = STARTING) -> None:
        self.number = number
        self.generation = generation
        self.state = state

    def leave(self, was_ready: bool, now: float) -> None:
        """It is not wanted any more: it is LEAVING; ends in GONE, at once or later."""
        raise NotImplementedError


Start = Callable[[int, float], Pod]
"""Starts the next replica, of a generation, now; ends in its deployment's `ready`, at once or later."""


@final
class Deployment:
    """The replicas of one version of a service, as many as wanted.

    Attributes:
        wanted: how many.
        generation: how often they were all replaced.
        surge, unavailable: of the last restart.
        pods: those that start or are ready, in the order of their numbers.
    """

    def __init__(self, start: Start, pods: Sequence[Pod]) -> None:
        self.start = start
        self.pods = list(pods)
        self.wanted = len(self.pods)
        self.generation = 0
        self.surge = 0
        self.unavailable = 0
        self._at_work = False

    def scale(self, wanted: int, now: float) -> None:
        """So many are wanted from now on."""
        self.wanted = wanted
        self.reconcile(now)

    def restart(self, surge: int, unavailable: int, now: float) -> None:
        """All are replaced, those of an unfinished restart included."""
        self.generation += 1
        self.surge = surge
        self.unavailable = unavailable
        self.reconcile(now)

    def ready(self, pod: Pod, now: float) -> None:
        """A replica that starts is ready; who leaves is not heard any more."""
        if pod.state == STARTING:
            pod.state = READY
            self.reconcile(now)

    def reconcile(self, now: float) -> None:
        """Does one thing after the other until there is nothing to do."""
        if self._at_work:
            return  # what was done has come back to here: the loop below goes on
        self._at_work = True
        while self._act(now):
            pass
        self._at_work = False

    def _act(self, now: float) -> bool:
        """Starts one, or lets one leave; whether there was anything to do."""
        young = [pod for pod in self.pods if pod.generation == self.generation]
        if len(young) < self.wanted and len(self.pods) < self.wanted + self.surge:
            self.pods.append(self.start(self.generation, now))
            return True
        if len(young) > self.wanted:
            self._leave((_starting(young) or young)[-1], now)
            return True
        old = [pod for pod in self.pods if pod.generation < self.generation]
        starting = _starting(old)
        ready = sum(pod.state == READY for pod in self.pods)
        if old and ready + len(starting) > self.wanted - self.unavailable:
            self._leave((starting or old)[0], now)
            return True
        return False

    def _leave(self, pod: Pod, now: float) -> None:
        self.pods.remove(pod)
        was_ready = pod.state == READY
        pod.state = LEAVING
        pod.leave(was_ready, now)


def _starting(pods: list[Pod]) -> list[Pod]:
    """Those that are not ready yet, which are the first to go."""
    return [pod for pod in pods if pod.state == STARTING]
