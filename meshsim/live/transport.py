"""The live transport: attempts over connections, in the pools that `Cluster` keeps the books of.

A cluster says when a connection is to be opened and who gets one; here are the connections themselves. Idle
ones are a stack to a host, the last used on top. What is sent for an attempt, and who hears the response, is
the subclass's business: a proxy passes on what its downstream sent, a service or a load generator asks for a
page.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from meshsim.live.clock import LiveClock
from meshsim.live.links import Crossing, emulated
from meshsim.live.wire import GARBAGE, ClientConnection, Limits, Reply, ResponseHead
from meshsim.mesh.attempt import Attempt
from meshsim.mesh.clock import Event
from meshsim.mesh.cluster import Cluster, Host, Stream, Transport
from meshsim.mesh.link import Link
from meshsim.policies.outcome import NO_FLAG, RESET, RESPONSE, UC, UPE
from meshsim.random import LINK_BACK, LINK_NOTICE, LINK_OUT, LOSS_BACK, LOSS_OUT

CONNECT_TIMEOUT = 5.0
"""Envoy's default, s."""

Address = tuple[str, int]


class Pool:
    """The connections to one host.

    Attributes:
        address, name: where it listens.
        idle: connections that serve nobody.
    """

    __slots__ = ("address", "cluster", "host", "idle", "name")

    def __init__(self, address: Address, cluster: Cluster, host: Host) -> None:
        self.address = address
        self.name = f"{address[0]}:{address[1]}"
        self.cluster = cluster
        self.host = host
        self.idle: list[ClientConnection] = []


class Outgoing:
    """What an attempt sends: a head, and as much of the body as there is."""

    __slots__ = ("body", "chunked", "head", "method", "whole")

    def __init__(self, head: bytes, body: bytes, whole: bool, method: bytes, chunked: bool) -> None:
        self.head = head
        self.body = body
        self.whole = whole
        self.method = method
        self.chunked = chunked


class SocketTransport(Transport):
    """Attempts over real connections.

    Args:
        clock: the process's.
        addresses: of the hosts, by name.
        links: to emulate, by number of the edge; none for traffic within a pod.
        changing: whether events change links.
        limits: of connections.
    """

    def __init__(
        self,
        clock: LiveClock,
        addresses: dict[str, Address],
        links: dict[int, Link] | None = None,
        changing: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self.clock = clock
        self.addresses = addresses
        self.limits = limits or Limits()
        self.links = {edge: link for edge, link in (links or {}).items() if emulated(link, changing)}
        self.pools: dict[Host, Pool] = {}
        self.connecting: set[asyncio.Task[None]] = set()

    # ---- the subclass's -----------------------------------------------------------------------------

    def outgoing(self, attempt: Attempt) -> Outgoing:
        """What to send for an attempt."""
        raise NotImplementedError

    def delivery(self, attempt: Attempt) -> Delivery:
        """Who hears the response of an attempt."""
        return Delivery(self, attempt)

    # ---- connections --------------------------------------------------------------------------------

    def open(self, cluster: Cluster, host: Host, now: float) -> None:
        pool = self.pools.get(host)
        if pool is None:
            pool = self.pools[host] = Pool(self.addresses[host.name], cluster, host)
        task = asyncio.get_running_loop().create_task(self._connect(pool))
        self.connecting.add(task)  # or it might be collected while it runs
        task.add_done_callback(self.connecting.discard)

    async def _connect(self, pool: Pool) -> None:
        loop = asyncio.get_running_loop()
        connection = ClientConnection(lambda lost: self._idle_lost(pool, lost), self.limits)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.create_connection(lambda: connection, *pool.address)
        except (OSError, TimeoutError):
            pool.cluster.failed(pool.host, self.clock.now())
            return
        pool.idle.append(connection)
        pool.cluster.opened(pool.host, self.clock.now())

    def _idle_lost(self, pool: Pool, connection: ClientConnection) -> None:
        """The other side has closed an idle connection."""
        with contextlib.suppress(ValueError):
            pool.idle.remove(connection)
            pool.cluster.closed(pool.host, self.clock.now())

    def close(self) -> None:
        """Closes all that is idle; nothing is opened any more."""
        for task in self.connecting:
            task.cancel()
        for pool in self.pools.values():
            idle, pool.idle = pool.idle, []
            for connection in idle:
                connection.close()

    # ---- attempts -----------------------------------------------------------------------------------

    def send(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt), "attempts are what a call sends"
        delivery = self.delivery(stream)
        delivery.pool = self.pools[stream.host_sent()]
        delivery.connection = delivery.pool.idle.pop()
        stream.exchange = delivery
        link = self.links.get(stream.call.route.edge) if self.links else None
        if link is None:
            delivery.write(now)
        else:
            delivery.cross(link, now)

    def abandon(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt), "attempts are what a call sends"
        delivery = stream.exchange
        if isinstance(delivery, Delivery):
            stream.exchange = None
            delivery.give_up(now)


class Delivery(Reply):
    """One attempt on its connection: the request out, the response back, which counts when it is whole.

    Attributes:
        attempt: whose it is.
        waited_for: whether its caller still waits.
        connection: its own, until the response is whole or there will be none.
        crossing: the message that is under way on an emulated link.
        response: its head, once that has come.
    """

    __slots__ = ("attempt", "connection", "crossing", "link", "pool", "response", "transport", "waited_for")

    def __init__(self, transport: SocketTransport, attempt: Attempt) -> None:
        self.transport = transport
        self.attempt = attempt
        self.waited_for = True
        self.connection: ClientConnection | None = None
        self.pool: Pool
        self.link: Link | None = None
        self.crossing: Crossing | None = None
        self.response: ResponseHead | None = None

    # ---- out ----------------------------------------------------------------------------------------

    def cross(self, link: Link, now: float) -> None:
        """Sends the request over an emulated link."""
        self.link = link
        self._send_over(link, (LINK_OUT, LOSS_OUT), self.write, now)

    def write(self, now: float) -> None:
        """Puts the request on the connection."""
        self.crossing = None
        connection = self.connection
        if connection is not None:
            out = self.transport.outgoing(self.attempt)
            connection.request(self, out.head, out.body, out.whole, out.method, chunked=out.chunked)

    def broken(self, now: float) -> None:
        """The emulated link has lost a message too often."""
        self.crossing = None
        self.fail(503, UC, now)

    # ---- back ---------------------------------------------------------------------------------------

    def whole(self, connection: ClientConnection, head: ResponseHead, body: bytes) -> None:
        link = self.link
        if link is None:
            self.arrive(connection, head, body, self.transport.clock.now())
        elif self.waited_for:
            self._send_over(
                link,
                (LINK_BACK, LOSS_BACK),
                lambda now: self.arrive(connection, head, body, now),
                self.transport.clock.now(),
            )
        else:
            self.drop()

    def arrive(self, connection: ClientConnection, head: ResponseHead, body: bytes, now: float) -> None:
        """The whole response has reached the caller's proxy."""
        self.crossing = None
        if not self.waited_for:
            self.drop()
            return
        reusable = self.give_back()
        attempt = self.attempt
        attempt.closing = not reusable
        self.hear(head, body)
        self.end(head.status, NO_FLAG, RESPONSE, now)

    def give_back(self) -> bool:
        """Returns the connection to its pool, if it can be used again."""
        connection, self.connection = self.connection, None
        if connection is None:
            return False
        if connection.reusable:
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
        if self.crossing is not None:
            self.crossing.cancel()
            self.crossing = None
        status, flag = (502, UPE) if kind == GARBAGE else (503, UC)
        self.fail(status, flag, self.transport.clock.now())

    def fail(self, status: int, flag: int, now: float) -> None:
        """There will be no response."""
        self.drop()
        self.end(status, flag, RESET, now)

    def hear(self, head: ResponseHead, body: bytes) -> None:
        """What is about to be the attempt's end, and may become the call's answer."""

    def end(self, status: int, flag: int, cause: int, now: float) -> None:
        """Tells the attempt how it ended, if anybody waits for that."""
        if self.waited_for:
            self.waited_for = False
            self.attempt.exchange = None
            self.attempt.respond(status, flag, cause, now)

    def drop(self) -> None:
        """Closes the connection at once."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort()

    # ---- abandoned ----------------------------------------------------------------------------------

    def give_up(self, now: float) -> None:
        """The caller does not wait any longer; the host learns it by the end of the connection."""
        self.waited_for = False
        link, crossing = self.link, self.crossing
        if link is None:
            self.drop()
        elif crossing is None:  # at the host
            self.transport.clock.at(now + link.travel(self.attempt.key, LINK_NOTICE), Notice(self), 0)
        elif crossing.lost or self.response is not None:
            crossing.cancel()
            self.drop()
        else:  # the request still arrives, before the word that nobody waits
            told = max(now + link.travel(self.attempt.key, LINK_NOTICE), crossing.arrives)
            self.transport.clock.at(told, Notice(self), 0)

    def _send_over(
        self, link: Link, purposes: tuple[int, int], arrive: Callable[[float], None], now: float
    ) -> None:
        self.crossing = Crossing(self.transport.clock, link, self.attempt.key, purposes, arrive, self.broken)
        self.crossing.depart(now)


class Notice(Event):
    """The word, on its way over a link, that a caller has given up."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery

    def fire(self, step: int, now: float) -> None:
        self.delivery.drop()
