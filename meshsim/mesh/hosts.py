"""The hosts of a cluster, and who of them may be picked: outlier detection, and what the balancer knows.

A host that is ejected is back on a tick; the balancer learns of either after the merge window. One that
failure accrual has shut gets one request when its penalty is over, and is back if that succeeds.
"""

from __future__ import annotations

from math import inf
from typing import final

from meshsim.mesh.clock import Clock, Event, Timer
from meshsim.mesh.connection import Connection, HostPool, Keeper
from meshsim.mesh.recorder import Recorder
from meshsim.policies.endpoint import Endpoint
from meshsim.policies.outlier import BACK, OUT, OutlierDetection
from meshsim.random import Key

MERGE = -1
"""A step of a set of hosts, beside the generations of its ticks."""


class Stream(Timer):
    """What a connection pool serves: an attempt that wants a connection to its host.

    Attributes:
        host: where it is bound.
        drains: of its host, when it got its connection: if there were more since, that closes at its end.
        ahead, behind: its neighbours in the host's pending queue.
        waiting: whether it is in that queue.
        connection: what it has, if that is tracked.
    """

    host: Host | None
    drains: int
    ahead: Stream | None
    behind: Stream | None
    waiting: bool
    connection: Connection | None

    def connected(self, now: float) -> None:
        """It has a connection, and counts as active."""
        raise NotImplementedError

    def overflowed(self, now: float) -> None:
        """A limit of the breaker is reached."""
        raise NotImplementedError

    def refused(self, now: float) -> None:
        """No connection to its host could be opened."""
        raise NotImplementedError


@final
class Host(Endpoint):
    """An endpoint with its connection pool.

    Attributes:
        replica: number of the replica behind it.
        version: its version.
        cluster: its own, once it has had a simulated connection.
        connections: open ones, and those being opened.
        opening: those of them that are being opened.
        idle: those of them that serve nobody.
        drains: how often the pool was drained.
        head, tail: the pending queue.
        pool: its connections, if they are tracked.
        member: whether it is one of its cluster's hosts, as far as the proxy knows.
    """

    cluster: HostSet | None
    pool: HostPool | None
    head: Stream | None
    tail: Stream | None

    def __init__(self, name: str, index: int, replica: int, version: str) -> None:
        super().__init__(name, index)
        self.replica = replica
        self.version = version
        self.cluster = None
        self.connections = 0
        self.opening = 0
        self.idle = 0
        self.drains = 0
        self.head = None
        self.tail = None
        self.pool = None
        self.member = True

    def push(self, stream: Stream) -> None:
        """Puts a stream at the end of the pending queue."""
        self.pending += 1
        stream.waiting = True
        stream.ahead = self.tail
        stream.behind = None
        if self.tail is None:
            self.head = stream
        else:
            self.tail.behind = stream
        self.tail = stream

    def remove(self, stream: Stream) -> None:
        """Takes a stream out of the pending queue."""
        self.pending -= 1
        if stream.ahead is None:
            self.head = stream.behind
        else:
            stream.ahead.behind = stream.behind
        if stream.behind is None:
            self.tail = stream.ahead
        else:
            stream.behind.ahead = stream.ahead
        stream.waiting = False
        stream.ahead = None
        stream.behind = None


class HostSet(Keeper):
    """The hosts of one service, or of one version of it, for one caller proxy.

    Attributes:
        hosts: all that the proxy knows to be there, in order.
        known: those and all that have been there before, by their index.
        available: those the balancer may pick; all of them in a panic.
        armed: whether the next tick of outlier detection is on the clock.
        generation: of the grid of ticks, and of penalties.
        updated: when the balancer last learned who is out, s.
        due: when it will learn of changes that wait for others, s; inf: none wait.
    """

    hosts: list[Host]
    known: list[Host]
    available: list[Endpoint]
    updated: float
    due: float

    def __init__(
        self, clock: Clock, recorder: Recorder, edge: int, hosts: list[Host], detection: OutlierDetection
    ) -> None:
        self.clock = clock
        self.recorder = recorder
        self.edge = edge
        self.hosts = hosts
        self.known = list(hosts)
        self.available = list(hosts)
        self.detection = detection
        self.armed = False
        self.generation = 0
        self.updated = -inf
        self.due = inf

    def drain(self, host: Host) -> None:
        """Closes the connections to a host: it is ejected, or down."""
        raise NotImplementedError

    def replace(self, hosts: list[Host], now: float) -> None:
        """Other hosts are there from now on; the connections to those that have gone are closed.

        Source: Envoy's membership updates, which wait for no merge window.
        """
        gone = self.hosts
        self.hosts = hosts
        for host in gone:
            host.member = False
        for host in hosts:
            host.member = True
        self.refresh(now)
        for host in gone:
            if not host.member:
                self.drain(host)

    def record(self, host: Host, status: int, key: Key, now: float) -> None:
        """Tells outlier detection how a try to the host ended; of one that has gone it wants nothing."""
        if not host.member:
            return
        verdict = self.detection.record(host, self.hosts, status, key, now)
        if verdict == OUT:
            self.leave_out(host, now)
            self.arm(now)
        elif verdict == BACK:
            self.refresh(now)
        elif self.detection.rates is not None:
            self.arm(now)

    def leave_out(self, host: Host, now: float) -> None:
        """A host was ejected, or shut."""
        self.recorder.ejected(now, self.edge, host.replica)
        if self.detection.probes:
            self.clock.at(host.returns, Penalty(self, host), self.generation)
        else:
            self.drain(host)
        self.change(now)

    def picked(self, host: Host, key: Key, now: float) -> None:
        """Tells failure accrual that an attempt is bound to the host: it may be a probe."""
        if self.detection.picked(host, key):
            self.refresh(now)

    def gave_up(self, host: Host, key: Key, now: float) -> None:
        """Tells failure accrual that nobody waits for an attempt any more: another may be the probe."""
        if self.detection.gave_up(host, key):
            self.refresh(now)

    def end_penalty(self, host: Host, generation: int, now: float) -> None:
        """A host was shut for long enough."""
        if generation == self.generation and self.detection.tick(host, now):
            self.refresh(now)

    def detect(self, detection: OutlierDetection, now: float) -> None:
        """Changes outlier detection; without any, or to or from failure accrual, all hosts come back."""
        anew = not detection.detects or detection.probes or self.detection.probes
        self.detection = detection
        for host in self.hosts:
            host.asked = host.failed = 0
            if anew:
                host.forgive()
        self.generation += 1  # the tick on the clock, if any, is of the old grid
        self.armed = False
        self.refresh(-inf)
        self.arm(now)

    def fire(self, step: int, now: float) -> None:
        """A tick of outlier detection, or the end of a wait."""
        if step == MERGE:
            if now >= self.due:
                self.refresh(now)
        elif step == self.generation:
            self.armed = False
            self.tick(now)
            self.arm(now)

    def tick(self, now: float) -> None:
        """Lets hosts back, one after the other, and leaves out those whose success rates lie low."""
        back = False
        for host in self.hosts:
            if self.detection.tick(host, now):
                back = True
                if self.detection.merge_window > 0.0:  # the first may be known at once, the others then wait
                    self.change(now)
        if back and self.detection.merge_window == 0.0:
            self.refresh(now)
        for outlier in self.detection.outliers(self.hosts):
            if self.detection.eject(outlier, self.hosts, now):
                self.leave_out(self.known[outlier.index], now)
        for host in self.hosts:
            self.detection.forget(host)

    def arm(self, now: float) -> None:
        """Puts the next tick on the clock, if there is anything to wait for."""
        if not self.armed:
            tick = self.detection.next_tick(self.hosts, now)
            if tick < inf:
                self.armed = True
                self.clock.at(tick, self, self.generation)

    def change(self, now: float) -> None:
        """A host is out, or back: the balancer learns it now, or once others may have changed too."""
        if not self.detection.merges(now - self.updated):
            self.refresh(now)
        elif self.due == inf:
            self.due = now + self.detection.merge_window
            self.clock.at(self.due, self, MERGE)

    def refresh(self, updated: float) -> None:
        """Tells the balancer which hosts are available; `updated`: now, or -inf if the next need not wait."""
        self.updated = updated
        self.due = inf
        self.available = [host for host in self.hosts if not host.ejected]
        if self.hosts and self.detection.panics(len(self.available), len(self.hosts)):
            self.available = list(self.hosts)


@final
class Penalty(Event):
    """The end of a host's time of being shut."""

    def __init__(self, cluster: HostSet, host: Host) -> None:
        self.cluster = cluster
        self.host = host

    def fire(self, step: int, now: float) -> None:
        self.cluster.end_penalty(self.host, step, now)
