"""A replica: workers, a waiting room, and the proxy that makes its calls."""

from __future__ import annotations

from typing import final

from meshsim.mesh.clock import Clock, Deadlines, Event
from meshsim.mesh.gauge import Gauge
from meshsim.mesh.hosts import Host
from meshsim.mesh.proxy import Proxy
from meshsim.mesh.queue import QUEUED, SERVING, Queue, Waiting
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.spans import Tracer
from meshsim.mesh.work import Workload
from meshsim.random import SERVICE

UP = 1
"""The step with which the `watcher` of a replica is fired."""


@final
class Replica:
    """One instance of a version.

    Attributes:
        number: in the recorder.
        name: such as ``cart/v1/0``.
        downs: events that hold it down; it is up at 0.
        slow: factor on service times that start now.
        place: of the visits to its first endpoint, in the recorder; those to the others follow.
        error_ratio: own failures that an event has put in force; below 0 those of the work count.
        busy: workers in use.
        eldest, youngest: ends of the list of visits that it holds: arrived, and not answered.
        hosts: it, as its callers see it: those that have had connections to it.
        keeping: the running timers of idle connections' ends here; None if they are kept.
        starting: whether it would be up, and has no certificate yet.
        watcher: is fired once, when it is up next.
    """

    error_ratio: float
    eldest: Waiting | None
    youngest: Waiting | None
    hosts: list[Host]
    keeping: Deadlines | None
    watcher: Event | None

    def __init__(
        self, clock: Clock, recorder: Recorder, tracer: Tracer, number: int, name: str, workload: Workload,
        queue: Queue, proxy: Proxy, busy_gauge: Gauge, queue_gauge: Gauge, place: int,
    ) -> None:  # fmt: skip
        self.clock = clock
        self.recorder = recorder
        self.tracer = tracer
        self.number = number
        self.name = name
        self.place = place
        self.workload = workload
        self.queue = queue
        self.proxy = proxy
        self.downs = 0
        self.slow = 1.0
        self.error_ratio = -1.0
        self.busy = 0
        self.eldest = None
        self.youngest = None
        self.hosts = []
        self.starting = False
        self.watcher = None
        self.keeping = Deadlines(clock, workload.keep_alive) if workload.keep_alive > 0.0 else None
        self.busy_gauge = busy_gauge
        self.queue_gauge = queue_gauge

    def hold(self, visit: Waiting) -> None:
        """A visit has arrived."""
        visit.held = True
        visit.elder = self.youngest
        if self.youngest is None:
            self.eldest = visit
        else:
            self.youngest.younger = visit
        self.youngest = visit

    def let_go(self, visit: Waiting) -> None:
        """A visit has its answer, or none is wanted any more; it may be held no longer."""
        if not visit.held:
            return
        visit.held = False
        elder = visit.elder
        younger = visit.younger
        if elder is None:
            self.eldest = younger
        else:
            elder.younger = younger
        if younger is None:
            self.youngest = elder
        else:
            younger.elder = elder
        visit.elder = None
        visit.younger = None

    def admit(self, visit: Waiting, now: float) -> None:
        """Serves a visit, or lets it wait, or refuses it."""
        if self.busy < self.workload.workers:
            self.busy += 1
            self.busy_gauge.add(1, now)
            self.serve(visit, now)
        elif self.queue.length < self.workload.room:
            visit.step = QUEUED
            self.queue.push(visit)
            self.queue_gauge.add(1, now)
        else:
            visit.answer(503, now)

    def serve(self, visit: Waiting, now: float) -> None:
        """A worker begins."""
        visit.step = SERVING
        self.clock.at(now + visit.work.time.draw(visit.key, SERVICE) * self.slow, visit, SERVING)

    def release(self, now: float) -> None:
        """A worker is free, and takes the next visit."""
        if self.queue.length > 0:
            visit = self.queue.pop()
            self.queue_gauge.add(-1, now)
            self.serve(visit, now)
        else:
            self.busy -= 1
            self.busy_gauge.add(-1, now)

    def leave_queue(self, visit: Waiting, now: float) -> None:
        """A waiting visit gives up."""
        self.queue.remove(visit)
        self.queue_gauge.add(-1, now)

    def go_down(self, now: float) -> None:
        """Loses all the work it holds, and its connections; refuses what comes until every cause is over."""
        agent = self.proxy.agent
        if self.starting and agent is not None:
            self.starting = False  # what held it down until now is this cause from now on
            agent.stop()
            return
        self.downs += 1
        if self.downs > 1:
            return
        if agent is not None:
            agent.stop()
        while self.queue.length > 0:
            self.queue.pop()
        self.queue_gauge.add(-self.queue_gauge.value, now)
        self.busy_gauge.add(-self.busy_gauge.value, now)
        self.busy = 0
        self.proxy.stop()
        visit = self.eldest
        while visit is not None:
            self.let_go(visit)
            visit.lose(now)
            visit = self.eldest
        for host in self.hosts:
            if host.cluster is not None:
                host.cluster.drain(host)
        if agent is not None:
            agent.break_off(now)

    def come_up(self, now: float = 0.0) -> None:
        """One cause less to be down; with mTLS, after the last it waits for a certificate, from `now` on."""
        if self.downs == 1 and self.proxy.agent is not None:
            self.starting = True
            self.proxy.agent.restart(Start(self), now)
        else:
            self.lift(now)

    def lift(self, now: float) -> None:
        """One cause less to be down."""
        self.downs -= 1
        watcher = self.watcher
        if self.downs == 0 and watcher is not None:
            self.watcher = None
            watcher.fire(UP, now)


@final
class Start(Event):
    """The start of a replica that waits for its certificate."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica

    def fire(self, step: int, now: float) -> None:
        self.replica.starting = False
        self.replica.lift(now)
