"""The live transport: attempts over connections, in the pools that `Cluster` keeps the books of.

A cluster says when a connection is to be opened and who gets one; here are the connections themselves. Idle
ones are a stack to a host, the last used on top (of tracked ones, the cluster's own). What is sent for an
attempt, and who hears the response, is the subclass's business: a proxy passes on what its downstream sent, a
service or a load generator asks for a page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from meshsim.live.clock import LiveClock
from meshsim.live.links import Crossing, emulated
from meshsim.live.pool import Address, Dial, Pool, connect
from meshsim.live.tracked import Opening, Rejection, Wire, round_trip, wire_of
from meshsim.live.troubles import failure_of, no_connection
from meshsim.live.wire.client import GARBAGE, HUNG_UP, ClientConnection, Reply
from meshsim.live.wire.heads import ResponseHead
from meshsim.live.wire.limits import Limits
from meshsim.mesh.attempt import Attempt
from meshsim.mesh.clock import Event
from meshsim.mesh.cluster import Cluster, Transport
from meshsim.mesh.connection import Connection
from meshsim.mesh.hosts import Host, Stream
from meshsim.mesh.link import Link
from meshsim.policies.outcome import NO_FLAG, RATE_LIMITED, RESET, RESPONSE, UC, UPE
from meshsim.random import LINK_BACK, LINK_NOTICE, LINK_OUT, LOSS_BACK, LOSS_OUT

if TYPE_CHECKING:
    from meshsim.live.tls.connect import Secured

CONNECT_TIMEOUT = 5.0
"""Where none is written, s: Envoy's default."""

RATELIMITED = b"x-envoy-ratelimited"
"""The header by which a rate-limit service's refusal is known."""


class SocketTransport(Transport):
    """Attempts over real connections to the `addresses` of hosts, by name.

    `links` are to emulate, by edge, none for traffic within a pod; `changing` if events change them.
    `secured` says where mTLS is used: nowhere if it is None. `dial` connects, where it is not.
    """

    limits: Limits
    links: dict[int, Link]
    secured: Secured | None
    pools: dict[Host, Pool]
    dial: Dial

    def __init__(
        self, clock: LiveClock, addresses: dict[str, Address], links: dict[int, Link] | None = None,
        changing: bool = False, limits: Limits | None = None, secured: Secured | None = None,
    ) -> None:  # fmt: skip
        self.secured = secured
        self.clock = clock
        self.addresses = addresses
        self.limits = limits or Limits()
        self.links = {edge: link for edge, link in (links or {}).items() if emulated(link, changing)}
        self.pools = {}
        self.dial = connect

    # ---- the subclass's -----------------------------------------------------------------------------

    def head(self, attempt: Attempt) -> bytes:
        """The head of the request of an attempt, where that has no body."""
        raise NotImplementedError

    def delivery(self, attempt: Attempt) -> Delivery:
        """Who hears the response of an attempt."""
        return Delivery(self, attempt)

    # ---- connections --------------------------------------------------------------------------------

    def open(self, cluster: Cluster, host: Host, connection: Connection | None, now: float) -> None:
        pool = self.pools.get(host)
        if pool is None:
            address = self.addresses.get(host.name)
            if address is None:  # not known yet
                asyncio.get_running_loop().call_soon(self._lost_way, cluster, host, connection)
                return
            pool = self.pools[host] = Pool(address, cluster, host)
        limit = CONNECT_TIMEOUT
        if connection is not None:
            link = self.links.get(cluster.edge)
            lasts = 0.0 if link is None else link.opening(connection.key)
            if link is not None and self.secured is not None:
                lasts += self.secured.trips(cluster, link, connection.key)
            if connection.rule.connect_timeout > 0.0:
                limit = connection.rule.connect_timeout - lasts
            if lasts > 0.0:
                connect = partial(self._begin, pool, connection, limit)
                opening = Opening(connection, lasts, connect, partial(pool.too_late, connection))
                self.clock.at(now + opening.lasts, opening, 0)
                return
        self._begin(pool, connection, limit)

    def _lost_way(self, cluster: Cluster, host: Host, connection: Connection | None) -> None:
        """There is no knowing where a host is."""
        cluster.failed(host, connection, self.clock.now())

    def _begin(self, pool: Pool, connection: Connection | None, limit: float) -> None:
        """Begins to connect."""
        task = asyncio.get_running_loop().create_task(self._connect(pool, connection, limit))
        pool.opening.add(task)  # or it might be collected while it runs
        task.add_done_callback(pool.opening.discard)

    async def _connect(self, pool: Pool, connection: Connection | None, limit: float) -> None:
        socket = ClientConnection(partial(self._idle_lost, pool, connection), self.limits)
        protocol = cast(asyncio.Protocol, socket)
        secured = self.secured
        try:
            if secured is not None and secured.service(pool.cluster):
                rejected = partial(self._rejected, pool, connection)
                why = pool.refused
                if not await secured.connect(pool.cluster, protocol, pool.address, limit, rejected, why):
                    pool.cluster.failed(pool.host, connection, self.clock.now())
                    return
                socket.identity = secured.service(pool.cluster)
            else:
                async with asyncio.timeout(limit):
                    await self.dial(protocol, pool.address)
        except (OSError, TimeoutError) as error:
            no_connection(error)
            pool.failure = failure_of(error)
            pool.cluster.failed(pool.host, connection, self.clock.now())
            return
        except asyncio.CancelledError:  # which may come just after it has been opened
            if socket.reusable:
                socket.close()
            raise
        if connection is None:
            pool.idle.append(socket)
        else:
            connection.wire = Wire(connection, socket, self.links.get(pool.cluster.edge))
        closed = not socket.reusable  # it may have been, before it could be used
        pool.cluster.opened(pool.host, connection, self.clock.now())
        if closed:
            self._idle_lost(pool, connection, socket)

    def _rejected(self, pool: Pool, connection: Connection | None, hear: Callable[[], None]) -> None:
        """The upstream refuses us; `hear` is to be called when the word of that would have come."""
        link = None if connection is None else self.links.get(pool.cluster.edge)
        if link is None or connection is None:
            hear()
        else:
            self.clock.at(self.clock.now() + round_trip(link, connection.key), Rejection(hear), 0)

    def _idle_lost(self, pool: Pool, connection: Connection | None, socket: ClientConnection) -> None:
        """The other side has closed an idle connection."""
        if connection is not None:
            if connection.wire is not None:  # else it has not been opened yet
                wire = wire_of(connection)
                if getattr(socket.transport, "rejected", False):  # the word of that has been waited for
                    wire.fire(0, self.clock.now())
                else:
                    wire.lost(self.clock, self.clock.now())
        elif socket in pool.idle:
            pool.idle.remove(socket)
            pool.cluster.closed(pool.host, None, self.clock.now())

    def hang_up(self, connection: Connection) -> None:
        if connection.wire is not None:
            wire_of(connection).close()

    def drain(self, host: Host) -> None:
        pool = self.pools.get(host)
        if pool is not None:
            pool.close_idle()

    def stop_opening(self, host: Host) -> None:
        pool = self.pools.get(host)
        if pool is not None:
            pool.stop_opening()

    def close(self) -> None:
        """Closes all that is idle; nothing is opened any more."""
        for pool in self.pools.values():
            pool.close_idle()
            pool.stop_opening()
            for socket in pool.tracked():
                socket.close()

    # ---- attempts -----------------------------------------------------------------------------------

    def send(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt), "attempts are what a call sends"
        attempt: Attempt = stream
        delivery = self.delivery(attempt)
        pool = self.pools[attempt.host_sent()]
        delivery.pool = pool
        if attempt.connection is None:
            delivery.connection = pool.idle.pop()
        else:
            delivery.take(wire_of(attempt.connection))
        attempt.exchange = delivery
        link = self.links.get(attempt.call.route.edge) if self.links else None
        if link is None:
            delivery.write(now)
        else:
            delivery.cross(link, now)

    def abandon(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt), "attempts are what a call sends"
        attempt: Attempt = stream
        if isinstance(attempt.exchange, Delivery):
            delivery: Delivery = attempt.exchange
            attempt.exchange = None
            delivery.give_up(now)


class Delivery(Reply):
    """One attempt on its connection: the request out, the response back, which counts when it is whole.

    Its caller may have gone (`waited_for`); `connection` is its own until the response is whole or there will
    be none; `crossing` is the message under way on an emulated link, `rest` the body of the whole `response`.
    """

    connection: ClientConnection | None
    wire: Wire | None
    pool: Pool | None
    link: Link | None
    crossing: Crossing | None
    response: ResponseHead | None

    def __init__(self, transport: SocketTransport, attempt: Attempt) -> None:
        self.transport = transport
        self.attempt = attempt
        self.waited_for = True
        self.connection = None
        self.wire = None
        self.pool = None
        self.link = None
        self.crossing = None
        self.response = None
        self.rest = b""

    # ---- out ----------------------------------------------------------------------------------------

    def take(self, wire: Wire) -> None:
        """Has a tracked connection."""
        wire.holder = self
        self.wire = wire
        self.connection = wire.socket

    def cross(self, link: Link, now: float) -> None:
        """Sends the request over an emulated link."""
        self.link = link
        self._send_over(link, (LINK_OUT, LOSS_OUT), self.write, now)

    def write(self, now: float) -> None:
        """Puts the request on the connection."""
        self.crossing = None
        if self.connection is not None:
            self.request(self.connection)

    def request(self, connection: ClientConnection) -> None:
        """Sends the request, which has no body."""
        head = self.transport.head(self.attempt)
        connection.request(self, head, b"", True, head[: head.index(b" ")])

    def broken(self, now: float) -> None:
        """The emulated link has lost a message too often."""
        self.crossing = None
        self.fail(503, UC, now)

    # ---- back ---------------------------------------------------------------------------------------

    def whole(self, connection: ClientConnection, head: ResponseHead, body: bytes) -> None:
        self.response = head
        self.rest = body
        now = self.transport.clock.now()
        if self.link is None:
            self.arrive(now)
        elif self.waited_for:
            self._send_over(self.link, (LINK_BACK, LOSS_BACK), self.arrive, now)
        else:
            self.drop()

    def arrive(self, now: float) -> None:
        """The whole response has reached the caller's proxy."""
        self.crossing = None
        head = self.response
        if head is None or not self.waited_for:
            self.drop()
            return
        self.attempt.closing = not self.give_back()
        self.end(head.status, NO_FLAG, cause_of(head), now)

    def give_back(self) -> bool:
        """Returns the connection to its pool, if it can be used again."""
        connection = self.connection
        self.connection = None
        if connection is None:
            return False
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.give_back()
            return True
        if connection.reusable and self.pool is not None and not self.attempt.outdated():
            self.pool.idle.append(connection)
            return True
        connection.close()
        return False

    def head(self, connection: ClientConnection, head: ResponseHead) -> None:
        self.response = head

    def complete(self, connection: ClientConnection) -> None:
        assert self.response is not None, "the head comes first"
        self.whole(connection, self.response, b"")

    def lost(self, connection: ClientConnection, kind: int, why: str) -> None:
        wire = self.wire
        if wire is not None:
            if why == HUNG_UP and wire.link is not None and not wire.ending:
                wire.lost(self.transport.clock, self.transport.clock.now())
            if wire.ending:
                return  # which its caller can't know yet
        if self.crossing is not None:
            self.crossing.cancel()
            self.crossing = None
        status, flag = (502, UPE) if kind == GARBAGE else (503, UC)
        self.fail(status, flag, self.transport.clock.now())

    def hear_end(self, now: float) -> None:
        """The word comes that the other side has closed the connection, perhaps after the response."""
        if self.response is None:
            if self.crossing is not None:
                self.crossing.cancel()
                self.crossing = None
            self.fail(503, UC, now)

    def fail(self, status: int, flag: int, now: float) -> None:
        """There will be no response."""
        self.drop()
        self.end(status, flag, RESET, now)

    def end(self, status: int, flag: int, cause: int, now: float) -> None:
        """Tells the attempt how it ended, if anybody waits for that."""
        if self.waited_for:
            self.waited_for = False
            self.attempt.exchange = None
            self.attempt.respond(status, flag, cause, now)

    def drop(self) -> None:
        """Closes the connection at once."""
        connection = self.connection
        self.connection = None
        if connection is not None:
            connection.abort()
        if self.wire is not None:
            self.wire.holder = None
            self.wire = None

    # ---- abandoned ----------------------------------------------------------------------------------

    def give_up(self, now: float) -> None:
        """The caller does not wait any longer; the host learns it by the end of the connection."""
        self.waited_for = False
        link, crossing = self.link, self.crossing
        if link is None:
            self.drop()
        elif crossing is None:  # at the host
            self.transport.clock.at(now + link.travel(self.attempt.key, LINK_NOTICE), AbandonNotice(self), 0)
        elif crossing.lost or self.response is not None:
            crossing.cancel()
            self.drop()
        else:  # the request still arrives, before the word that nobody waits
            arrives = max(now + link.travel(self.attempt.key, LINK_NOTICE), crossing.arrives)
            self.transport.clock.at(arrives, AbandonNotice(self), 0)

    def _send_over(
        self, link: Link, purposes: tuple[int, int], arrive: Callable[[float], None], now: float
    ) -> None:
        self.crossing = Crossing(self.transport.clock, link, self.attempt.key, purposes, arrive, self.broken)
        self.crossing.depart(now)


class AbandonNotice(Event):
    """The word, on its way over a link, that a caller has given up."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery

    def fire(self, step: int, now: float) -> None:
        self.delivery.drop()


def cause_of(head: ResponseHead) -> int:
    """What a response is to retry conditions."""
    return RATE_LIMITED if head.has(RATELIMITED) else RESPONSE
