"""A cluster: the hosts that one caller proxy can send to, and what it has under way to each.

Balancer, connection pools, breaker gauges and outlier state meet here; each is decided in `policies`. A
request is bound to a host before it waits for a connection: there is no cluster-wide queue.
"""

from __future__ import annotations

from math import inf
from typing import final

from meshsim.errors import MeshsimError
from meshsim.mesh.clock import Clock, Event, Timer
from meshsim.mesh.recorder import Recorder
from meshsim.policies.balance import Balancer
from meshsim.policies.breaker import CircuitBreaker
from meshsim.policies.budget import Budget
from meshsim.policies.endpoint import Endpoint
from meshsim.policies.outlier import OutlierDetection
from meshsim.random import Key

# Steps of a cluster, beside the generations of its ticks
FORGET = -1
MERGE = -2


class Stream(Timer):
    """What a connection pool serves: an attempt that wants a connection to its host.

    Attributes:
        host: where it is bound.
        drains: of its host, when it got its connection: if there were more since, that closes at its end.
        ahead, behind: its neighbours in the host's pending queue.
        waiting: whether it is in that queue.
    """

    host: Host | None
    drains: int
    ahead: Stream | None
    behind: Stream | None
    waiting: bool

    def connected(self, now: float) -> None:
        """It has a connection, and counts as active."""
        raise NotImplementedError

    def overflowed(self, now: float) -> None:
        """A limit of the breaker is reached."""
        raise NotImplementedError

    def refused(self, now: float) -> None:
        """No connection to its host could be opened."""
        raise NotImplementedError


class Transport:
    """How an attempt reaches its host and comes back: the second seam, simulated or sockets."""

    def open(self, cluster: Cluster, host: Host, now: float) -> None:
        """Opens a connection to a host; ends in the cluster's `opened` or `failed`, at once or later."""
        raise NotImplementedError

    def send(self, stream: Stream, now: float) -> None:
        """Sends an attempt to its host; ends in the stream's `respond`, unless it is abandoned."""
        raise NotImplementedError

    def abandon(self, stream: Stream, now: float) -> None:
        """The caller does not wait for this attempt any longer."""
        raise NotImplementedError

    def drain(self, host: Host) -> None:
        """Closes the idle connections to a host."""
        raise NotImplementedError

    def stop_opening(self, host: Host) -> None:
        """Gives up the connections to a host that are being opened: neither `opened` nor `failed` follows."""
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
        pending: streams that wait for a connection.
        head, tail: the pending queue.
    """

    cluster: Cluster | None
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
        self.pending = 0
        self.head = None
        self.tail = None

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


@final
class Cluster(Event):
    """The hosts of one service, or of one version of it, for one caller proxy.

    Attributes:
        hosts: all, in order.
        available: those the balancer may pick; all of them in a panic.
        budget: grants retry slots; Linkerd's is shared by the route's clusters.
        broken: streams whose connections broke at this instant: a budget still counts them as active.
        armed: whether the next tick of outlier detection is on the clock.
        generation: of the grid of ticks.
        updated: when the balancer last learned who is out, s.
        due: when it will learn of changes that wait for others, s; inf: none wait.
    """

    available: list[Endpoint]
    updated: float
    due: float

    def __init__(
        self, clock: Clock, recorder: Recorder, transport: Transport, edge: int, hosts: list[Host], balancer:
        Balancer, breaker: CircuitBreaker, detection: OutlierDetection, budget: Budget,
    ) -> None:  # fmt: skip
        self.clock = clock
        self.recorder = recorder
        self.transport = transport
        self.edge = edge
        self.hosts = hosts
        self.available = list(hosts)
        self.balancer = balancer
        self.breaker = breaker
        self.detection = detection
        self.budget = budget
        self.broken = 0
        self.armed = False
        self.generation = 0
        self.updated = -inf
        self.due = inf

    # ---- choosing and connecting ------------------------------------------------------------------

    def pick(self, key: Key, now: float) -> Host | None:
        """A host for the attempt with this key; None if there is no healthy one."""
        if not self.available:
            return None
        host = self.balancer.pick(self.available, key, now)
        if not isinstance(host, Host):
            raise MeshsimError(
                f"{type(self.balancer).__name__}.pick must return one of its hosts, not {host!r}"
            )
        return host

    def connect(self, stream: Stream, host: Host, now: float) -> None:
        """Gives the stream a connection to the host, now or later, or says that a limit is reached."""
        stream.host = host
        if host.idle > 0:
            self.attach(stream, host, now)
        elif not self.breaker.may_wait():
            stream.overflowed(now)
        else:
            host.push(stream)
            self.breaker.pending += 1
            self.open(host, now)

    def open(self, host: Host, now: float) -> None:
        """Begins to open connections for those who wait for this host, as far as the limits allow it."""
        while host.pending > host.opening and self.breaker.may_connect(host.connections):
            self.breaker.connections += 1
            host.connections += 1
            host.opening += 1
            self.transport.open(self, host, now)

    def opened(self, host: Host, now: float) -> None:
        """A connection is open."""
        host.opening -= 1
        host.idle += 1
        self.serve(host, now)

    def failed(self, host: Host, now: float) -> None:
        """A connection could not be opened: whoever waits for this host now has failed with it."""
        host.opening -= 1
        host.connections -= 1
        self.breaker.connections -= 1
        drains = host.drains
        failing: list[Stream] = []
        stream = host.head
        while stream is not None:
            failing.append(stream)
            stream = stream.behind
        for each in failing:
            if each.waiting:  # it may have left, because of another's end
                host.remove(each)
                each.refused(now)
                self.breaker.pending -= 1  # till now a budget counts it, as it counts what is answered
        if host.drains > drains:  # their failures have had it ejected
            self.stop_opening(host)

    def closed(self, host: Host, now: float) -> None:
        """The other side has closed an idle connection."""
        host.idle -= 1
        host.connections -= 1
        self.breaker.connections -= 1
        self.open(host, now)

    def drain(self, host: Host) -> None:
        """Closes the pool of a host: what nobody needs now, busy connections when they are free."""
        self.breaker.connections -= host.idle
        host.connections -= host.idle
        host.idle = 0
        host.drains += 1
        self.transport.drain(host)
        self.stop_opening(host)

    def stop_opening(self, host: Host) -> None:
        """Gives up the connections that are being opened to a host, if nobody waits for one."""
        if host.opening > 0 and host.pending == 0:
            self.breaker.connections -= host.opening
            host.connections -= host.opening
            host.opening = 0
            self.transport.stop_opening(host)

    def serve(self, host: Host, now: float) -> None:
        """Gives idle connections to those who wait."""
        while host.idle > 0 and host.head is not None:
            stream = host.head
            host.remove(stream)
            self.breaker.pending -= 1
            self.attach(stream, host, now)

    def attach(self, stream: Stream, host: Host, now: float) -> None:
        """Binds a stream to an idle connection, unless too many are active."""
        if not self.breaker.may_send():
            stream.overflowed(now)
            return
        self.breaker.active += 1
        host.active += 1
        host.idle -= 1
        stream.drains = host.drains
        stream.connected(now)

    def leave(self, stream: Stream, host: Host) -> None:
        """A stream that waits for a connection no longer wants it."""
        host.remove(stream)
        self.breaker.pending -= 1

    def release(self, stream: Stream, host: Host, reusable: bool, now: float) -> None:
        """An active stream has ended; after a reset its connection is closed."""
        self.breaker.active -= 1
        host.active -= 1
        if not reusable and self.budget.counts_active:
            if self.broken == 0:
                self.clock.at(now, self, FORGET)
            self.broken += 1
        if reusable and stream.drains == host.drains:
            host.idle += 1
            self.serve(host, now)
        else:
            self.breaker.connections -= 1
            host.connections -= 1
        self.open(host, now)

    def grant_retry(self, now: float) -> bool:
        """Takes a retry slot, if one is to be had; give it back with `free_retry`."""
        breaker = self.breaker
        if not self.budget.withdraw(breaker.retries, breaker.active + self.broken + breaker.pending, now):
            return False
        breaker.retries += 1
        return True

    def free_retry(self) -> None:
        """Gives a retry slot back."""
        self.breaker.retries -= 1

    # ---- outlier detection ------------------------------------------------------------------------

    def record(self, host: Host, status: int, now: float) -> None:
        """Tells outlier detection how a try to the host ended."""
        if self.detection.record(host, self.hosts, status, now):
            self.recorder.ejected(now, self.edge, host.replica)
            self.drain(host)
            self.change(now)
            self.arm(now)

    def detect(self, detection: OutlierDetection, now: float) -> None:
        """Changes outlier detection; without any, all hosts come back."""
        self.detection = detection
        if not detection.detects:
            for host in self.hosts:
                host.forgive()
        self.generation += 1  # the tick on the clock, if any, is of the old grid
        self.armed = False
        self.refresh(-inf)
        self.arm(now)

    def fire(self, step: int, now: float) -> None:
        """A tick of outlier detection, or the end of a wait."""
        if step == FORGET:
            self.broken = 0
        elif step == MERGE:
            if now >= self.due:
                self.refresh(now)
        elif step == self.generation:
            self.armed = False
            self.tick(now)
            self.arm(now)

    def tick(self, now: float) -> None:
        """Lets hosts back, one after the other."""
        back = False
        for host in self.hosts:
            if self.detection.tick(host, now):
                back = True
                if self.detection.merge_window > 0.0:  # the first may be known at once, the others then wait
                    self.change(now)
        if back and self.detection.merge_window == 0.0:
            self.refresh(now)

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
        if self.detection.panics(len(self.available), len(self.hosts)):
            self.available = list(self.hosts)
