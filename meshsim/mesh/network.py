"""The simulated network: links to simulated replicas, and the connections over them."""

from __future__ import annotations

from typing import final

from meshsim.mesh.attempt import Attempt
from meshsim.mesh.certificate import DISABLE, Agent
from meshsim.mesh.clock import Event
from meshsim.mesh.cluster import Cluster
from meshsim.mesh.connection import IDLE, NOT_ACCEPTED, OPENING, SECURED, UNTRUSTED, Connection, FarEnd
from meshsim.mesh.hosts import Host, Stream
from meshsim.mesh.journey import Journey, Transit
from meshsim.mesh.link import Link
from meshsim.mesh.replica import Replica
from meshsim.mesh.visit import HOMEWARD, RESENDING_HOME
from meshsim.random import HANDSHAKE, HANDSHAKE_BACK, HANDSHAKE_IN, HANDSHAKE_OUT

# Steps of the far end of a connection
READY = 0  # TCP's part is over
FIN = 1  # the caller hears that it has closed
GREETED = 2  # the handshake has reached the upstream
ANSWERED = 3  # the upstream's part is back at the caller
MISTRUSTED = 4  # what fails has taken no time: it fails in an event of its own
SHOWN = 5  # the upstream's pass is over
SHAKEN = 6  # the caller's pass is over


@final
class Network(Transit):
    """The simulated transport: links to simulated replicas.

    Attributes:
        replicas: by number.
        links: by number of the edge.
    """

    replicas: list[Replica]
    links: list[Link]

    def __init__(self) -> None:
        super().__init__()
        self.replicas = []
        self.links = []

    def open(self, cluster: Cluster, host: Host, connection: Connection | None, now: float) -> None:
        """Opens a connection: in no time, unless it is tracked."""
        replica = self.replicas[host.replica]
        if host.cluster is None:
            host.cluster = cluster
            replica.hosts.append(host)
        if connection is None:
            cluster.opened(host, None, now)
        else:
            ReplicaEnd(cluster, host, connection, replica, self.links[cluster.edge]).open(now)

    def hang_up(self, connection: Connection) -> None:
        """There is nothing to close: its far end has stopped already."""

    def drain(self, host: Host) -> None:
        """Closes idle connections: simulated ones are no more than their count."""

    def stop_opening(self, host: Host) -> None:
        """There is nothing to give up: what is READY is not wanted then."""

    def send(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt), "attempts are what this mesh sends"
        attempt: Attempt = stream
        self.visits += 1
        route = attempt.call.route
        visit = Journey(attempt, self, self.replicas[attempt.host_sent().replica], self.links[route.edge])
        if attempt.connection is not None:
            visit.far = attempt.connection.far
        attempt.exchange = visit
        visit.depart(now)

    def abandon(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt), "attempts are what this mesh sends"
        attempt: Attempt = stream
        if isinstance(attempt.exchange, Journey):
            visit: Journey = attempt.exchange
            visit.give_up(now)


@final
class ReplicaEnd(FarEnd):
    """A simulated replica's end of a connection, and how that opens.

    Attributes:
        caller, upstream: what both sides have to show; None where there is no mTLS.
        handshakes: whether it is opened with mTLS.
        in_vain: whether its opening takes too long, or the upstream does not know TLS.
        at_once: whether it has begun to open in this moment.
        at: where a pass of its handshake is under way.
    """

    caller: Agent | None
    upstream: Agent | None
    handshakes: bool
    at: Agent | None

    def __init__(
        self, cluster: Cluster, host: Host, connection: Connection, replica: Replica, link: Link
    ) -> None:
        super().__init__()
        self.cluster = cluster
        self.host = host
        self.connection = connection
        self.replica = replica
        self.link = link
        self.keeping = replica.keeping
        self.in_vain = False
        self.at_once = False
        self.caller = cluster.agent
        self.upstream = replica.proxy.agent
        self.handshakes = cluster.secure
        self.at = None
        if not cluster.secure:
            self.guard = replica.proxy.agent
        if replica.keeping is not None or self.upstream is not None:
            connection.far = self

    # ---- opening ------------------------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Begins to open: what takes no time is done at once, unless it fails."""
        connection = self.connection
        lasts = self.link.opening(connection.key)
        if self.handshakes:
            if connection.openings is not None:
                connection.openings.start(self, now)
        else:
            self.in_vain = connection.rule.gives_up(lasts)
            if self.in_vain:
                lasts = connection.rule.connect_timeout
        if lasts == 0.0 and self.replica.downs == 0:
            self.at_once = True
            self.connected(now)
            self.at_once = False
        else:
            self.replica.clock.at(now + lasts, self, READY)

    def wanted(self) -> bool:
        """Whether it is still being opened, and somebody may want it."""
        connection = self.connection
        if connection.wanted():
            return True
        if connection.state == OPENING:  # it was given up
            self.stop_timer()
            connection.far = None
        return False

    def connected(self, now: float) -> None:
        """TCP has a connection: what is open, or begins with a handshake."""
        if not self.handshakes:
            self.cluster.opened(self.host, self.connection, now)
        else:
            self.travel(HANDSHAKE_OUT, GREETED, now)

    def travel(self, purpose: int, step: int, now: float) -> None:
        """The messages of a handshake that go one way."""
        assert self.caller is not None, "it does handshakes"
        lasts = self.link.shaking(self.connection.key, purpose, self.caller.round_trips)
        if lasts == 0.0:
            self.fire(step, now)
        else:
            self.replica.clock.at(now + lasts, self, step)

    def greeted(self, now: float) -> None:
        """The handshake has reached the upstream, which does its part, if it knows TLS."""
        upstream = self.upstream
        if upstream is None or upstream.mode == DISABLE:
            self.in_vain = True
            self.travel(HANDSHAKE_BACK, ANSWERED, now)
        else:
            self.at = upstream
            upstream.enter(self, SHOWN, self.connection.key, HANDSHAKE_IN, now)

    def answered(self, now: float) -> None:
        """The upstream's part is back: the caller does its own."""
        caller = self.caller
        if self.in_vain or caller is None:
            self.mistrusted(now)
        else:
            self.at = caller
            caller.enter(self, SHAKEN, self.connection.key, HANDSHAKE, now)

    def passed(self) -> bool:
        """The pass of the handshake is over; whether its proxy was there all the time."""
        at = self.at
        self.at = None
        if at is None:
            return False
        at.passed(self)
        return True

    def broken(self, now: float) -> None:
        self.at = None
        if self.wanted():
            self.fail(now)

    def shaken(self, now: float) -> None:
        """The handshake is over: both sides look at each other's certificates."""
        assert self.caller is not None, "it does handshakes"
        assert self.upstream is not None, "it took part"
        connection = self.connection
        if not self.caller.accepts(self.upstream, now):
            self.mistrusted(now)
            return
        self.stop_timer()
        self.secured = True
        if self.upstream.accepts(self.caller, now):
            self.cluster.recorder.connection(self.cluster.edge, SECURED, now)
        else:
            self.cluster.recorder.connection(self.cluster.edge, NOT_ACCEPTED, now)
            self.closed = True
            out = self.link.shaking(connection.key, HANDSHAKE_OUT, 1)
            back = self.link.shaking(connection.key, HANDSHAKE_BACK, 1)
            self.replica.clock.at(now + out + back, self, FIN)
        self.cluster.opened(self.host, connection, now)

    def mistrusted(self, now: float) -> None:
        """The caller does not accept the upstream."""
        if self.at_once:
            self.replica.clock.at(now, self, MISTRUSTED)
            return
        self.cluster.recorder.connection(self.cluster.edge, UNTRUSTED, now)
        self.fail(now)

    def fail(self, now: float) -> None:
        self.cluster.failed(self.host, self.connection, now)

    def fire(self, step: int, now: float) -> None:
        if step == FIN:
            self.finish(self.connection, now)
            return
        if step >= SHOWN and not self.passed():
            return
        if not self.wanted():
            return
        if step != SHAKEN and (self.replica.downs > 0 or (step == READY and self.in_vain)):
            self.fail(now)
        elif step == READY:
            self.connected(now)
        elif step == GREETED:
            self.greeted(now)
        elif step == SHOWN:
            self.travel(HANDSHAKE_BACK, ANSWERED, now)
        elif step == ANSWERED:
            self.answered(now)
        elif step == MISTRUSTED:
            self.mistrusted(now)
        else:
            self.shaken(now)

    # ---- its end ------------------------------------------------------------------------------------

    def unlink(self) -> Event | None:
        super().unlink()
        return self.connection.stream

    def expire(self, now: float) -> None:
        """It has been idle for too long, or takes too long to open."""
        if self.connection.state == OPENING:
            if self.wanted():
                self.fail(now)
            return
        self.closed = True
        self.replica.clock.at(now + self.link.finish(self.connection.key), self, FIN)

    def reject(self, now: float) -> None:
        self.cluster.recorder.connection(self.cluster.edge, NOT_ACCEPTED, now)
        self.stop_timer()
        self.closed = True
        self.replica.clock.at(now + self.link.finish(self.connection.key), self, FIN)

    def finish(self, connection: Connection, now: float) -> None:
        """The caller hears that it has closed."""
        if connection.state == IDLE:
            self.cluster.closed(self.host, connection, now)
        elif connection.stream is not None:
            assert isinstance(connection.stream, Attempt), "attempts are what this mesh sends"
            attempt: Attempt = connection.stream
            assert isinstance(attempt.exchange, Journey), "it is on its way"
            visit: Journey = attempt.exchange
            if visit.step in (HOMEWARD, RESENDING_HOME):
                connection.finished = True
            else:
                visit.cut(now)
