"""A cluster: the hosts that one caller proxy can send to, and what it has under way to each.

Balancer, connection pools and breaker gauges meet here; each is decided in `policies`. A request is bound to
a host before it waits for a connection: there is no cluster-wide queue.
"""

from __future__ import annotations

from typing import final

from meshsim.errors import MeshsimError
from meshsim.mesh.certificate import Agent
from meshsim.mesh.clock import Clock
from meshsim.mesh.connection import DRAINED, FAILED, OPENED, SERVER_CLOSED, Connection
from meshsim.mesh.hosts import Host, HostSet, Stream
from meshsim.mesh.recorder import Recorder
from meshsim.policies.balance import Balancer
from meshsim.policies.breaker import CircuitBreaker
from meshsim.policies.budget import Budget
from meshsim.policies.outlier import OutlierDetection
from meshsim.random import REPICK, Key, derive

FORGET = -2
"""A step of a cluster, beside those of its hosts."""


class Transport:
    """How an attempt reaches its host and comes back: the second seam, simulated or sockets."""

    def open(self, cluster: Cluster, host: Host, connection: Connection | None, now: float) -> None:
        """Opens a connection to a host; ends in the cluster's `opened`, at once or later, or `failed`, later.

        What is known of the connection is for both, and None where connections are not tracked.
        """
        raise NotImplementedError

    def hang_up(self, connection: Connection) -> None:
        """Closes a tracked connection, if the other side has not; the cluster has counted it."""
        raise NotImplementedError

    def send(self, stream: Stream, now: float) -> None:
        """Sends an attempt to its host; ends in the stream's `respond`, unless it is abandoned."""
        raise NotImplementedError

    def abandon(self, stream: Stream, now: float) -> None:
        """The caller does not wait for this attempt any longer."""
        raise NotImplementedError

    def drain(self, host: Host) -> None:
        """Closes the idle connections to a host, but for tracked ones: `hang_up` is called for each."""
        raise NotImplementedError

    def stop_opening(self, host: Host) -> None:
        """Gives up the connections to a host that are being opened: neither `opened` nor `failed` follows."""
        raise NotImplementedError


@final
class Cluster(HostSet):
    """The hosts of one service, or of one version of it, for one caller proxy, and their connection pools.

    Attributes:
        observer: the balancer, if it wants to hear how tries end.
        budget: grants retry slots; Linkerd's is shared by the route's clusters.
        broken: streams whose connections broke at this instant: a budget still counts them as active.
        configured: whether the proxy has been told of it; until then it has no hosts.
        secure: whether connections are opened with mTLS from now on.
        agent: of its proxy; None if that has no identity.
    """

    agent: Agent | None

    balancer: Balancer
    observer: Balancer | None

    def __init__(
        self, clock: Clock, recorder: Recorder, transport: Transport, edge: int, hosts: list[Host], balancer:
        Balancer, breaker: CircuitBreaker, detection: OutlierDetection, budget: Budget,
    ) -> None:  # fmt: skip
        super().__init__(clock, recorder, edge, hosts, detection)
        self.transport = transport
        self.use(balancer)
        self.breaker = breaker
        self.budget = budget
        self.broken = 0
        self.configured = True
        self.secure = False
        self.agent = None

    def fire(self, step: int, now: float) -> None:
        if step == FORGET:
            self.broken = 0
        else:
            HostSet.fire(self, step, now)

    def use_mtls(self, secure: bool) -> None:
        """Opens connections with mTLS from now on, or without; those that there are make way."""
        if secure != self.secure:
            self.secure = secure
            for host in self.known:
                self.drain(host)

    def add(self, host: Host, now: float) -> None:
        """Takes note of a host that was never there before; `replace` makes it one of the hosts."""
        self.known.append(host)
        self.balancer.joined(host, now)

    # ---- choosing and connecting ------------------------------------------------------------------

    def use(self, balancer: Balancer) -> None:
        """Hands the choice of hosts to a balancer."""
        self.balancer = balancer
        self.observer = balancer if balancer.observes() else None

    def pick(self, key: Key, now: float) -> Host | None:
        """A host for the attempt with this key; None if there is no healthy one."""
        if not self.available:
            return None
        host = self.balancer.pick(self.available, key, now)
        return host if isinstance(host, Host) else self.reject(host)

    def reject(self, host: object) -> Host:
        """Raises what a balancer is told that picks something else."""
        raise MeshsimError(f"{type(self.balancer).__name__}.pick must return one of its hosts, not {host!r}")

    def pick_again(
        self, key: Key, host: Host | None, tried: list[Host], repicks: int, now: float
    ) -> Host | None:
        """Another than this host, if it is one of those tried and so many more picks find another."""
        for n in range(repicks):
            if host is None or host not in tried:
                break
            host = self.pick(derive(key, REPICK + n), now)
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
            connection = None if host.pool is None else host.pool.begin()
            self.transport.open(self, host, connection, now)

    def opened(self, host: Host, connection: Connection | None, now: float) -> None:
        """A connection is open."""
        host.opening -= 1
        host.idle += 1
        if connection is None:
            self.serve(host, now)
        else:
            self.recorder.connection(self.edge, OPENED, now)
            connection.opened(now)
            self.serve(host, now)
            connection.rest(now)

    def failed(self, host: Host, connection: Connection | None, now: float) -> None:
        """A connection could not be opened: whoever waits for this host now fails with it, the oldest first.

        Source: measured on Envoy 1.40 (`tests/laws/connections.py`).
        """
        host.opening -= 1
        host.connections -= 1
        self.breaker.connections -= 1
        if connection is not None:
            self.recorder.connection(self.edge, FAILED, now)
            connection.close()
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

    def closed(self, host: Host, connection: Connection | None, now: float) -> None:
        """The other side has closed an idle connection."""
        if connection is None:
            self.discard(host, now)
        else:
            self.lose(connection, SERVER_CLOSED, now)

    def lose(self, connection: Connection, why: int, now: float) -> None:
        self.recorder.connection(self.edge, why, now)
        connection.close()
        self.discard(self.known[connection.pool.place], now)

    def hang_up(self, connection: Connection) -> None:
        self.transport.hang_up(connection)

    def discard(self, host: Host, now: float) -> None:
        """An idle connection is no more."""
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
        if host.pool is not None:
            host.pool.close_idle()
        self.transport.drain(host)
        self.stop_opening(host)

    def stop_opening(self, host: Host) -> None:
        """Gives up the connections that are being opened to a host, if nobody waits for one."""
        if host.opening > 0 and host.pending == 0:
            self.breaker.connections -= host.opening
            host.connections -= host.opening
            host.opening = 0
            if host.pool is not None:
                host.pool.given_up += 1
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
        if host.pool is not None:
            stream.connection = host.pool.take(stream)
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
        if stream.connection is not None:
            self.hand_back(stream, host, reusable, now)
        elif reusable and stream.drains == host.drains:
            host.idle += 1
            self.serve(host, now)
        else:
            self.breaker.connections -= 1
            host.connections -= 1
        self.open(host, now)

    def hand_back(self, stream: Stream, host: Host, reusable: bool, now: float) -> None:
        """The stream's connection, which is tracked, serves others, or is closed."""
        connection = stream.connection
        assert connection is not None, "it has one"
        stream.connection = None
        connection.stream = None
        fate = connection.fate(reusable, stream.drains != host.drains)
        if fate == OPENED:
            host.idle += 1
            connection.free()
            self.serve(host, now)
            connection.rest(now)
        else:
            if fate != DRAINED:
                self.recorder.connection(self.edge, fate, now)
            connection.close()
            self.breaker.connections -= 1
            host.connections -= 1

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
