"""The caller's end of TLS: a connection is open when its handshake is over, not before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from meshsim.live.clock import LiveClock
from meshsim.live.tls.channel import Channel
from meshsim.live.tls.context import Tls
from meshsim.live.tls.refusal import TIMEOUT
from meshsim.live.tracked import round_trip
from meshsim.mesh.cluster import Cluster
from meshsim.mesh.connection import NOT_ACCEPTED, SECURED, UNTRUSTED
from meshsim.mesh.link import Link
from meshsim.random import Key

Hear = Callable[[], None]
"""What is to be called when the caller can have heard of a refusal."""


class Secured:
    """A proxy's secured connections: `services` are those wanted at the other end, by edge.

    Each handshake takes so many `round_trips` over the link.
    """

    def __init__(self, tls: Tls, services: dict[int, str], round_trips: int) -> None:
        self.tls = tls
        self.services = services
        self.round_trips = round_trips

    def service(self, cluster: Cluster) -> str:
        """Whose identity is wanted of a cluster's hosts; empty where they are called without mTLS now."""
        return self.services[cluster.edge] if cluster.secure else ""

    def trips(self, cluster: Cluster, link: Link, key: Key) -> float:
        """How long the messages of a connection's handshake are under way, s."""
        return self.round_trips * round_trip(link, key) if self.service(cluster) else 0.0

    async def connect(
        self, cluster: Cluster, top: asyncio.Protocol, address: tuple[str, int], limit: float,
        rejected: Callable[[Hear], None], clock: LiveClock,
    ) -> bool:  # fmt: skip
        """As `connect`, to a cluster's host; what becomes of it is counted on the way.

        NOTE: a connection that the upstream rejects is secured until that is heard, and so it is counted so
        that it may be taken back.
        """
        recorder, edge = cluster.recorder, cluster.edge
        opened: list[tuple[float, int, int]] = []

        def heard(hear: Hear) -> None:
            counted = getattr(recorder, "connections", [])
            for row in opened:
                if row in counted:
                    counted.remove(row)
            recorder.connection(edge, NOT_ACCEPTED, clock.now())
            rejected(hear)

        if not await connect(self.tls, self.service(cluster), top, address, limit, heard):
            recorder.connection(edge, UNTRUSTED, clock.now())
            return False
        opened.append((clock.now(), edge, SECURED))
        recorder.connection(edge, SECURED, opened[0][0])
        return True


def at_once(hear: Hear) -> None:
    """A refusal is heard when it comes."""
    hear()


async def connect(
    tls: Tls, service: str, top: asyncio.Protocol, address: tuple[str, int], limit: float,
    rejected: Callable[[Hear], None] = at_once,
) -> bool:  # fmt: skip
    """Opens a connection to a service within `limit`, s, and has `top` speak on it.

    Returns whether it is open; if not, one side has refused the other, which is counted. The upstream looks
    at our certificate when we have the connection already: if it refuses that, `rejected` is called, and
    until it is heard the connection only seems to be there.

    Raises:
        OSError: there is no connection.
        TimeoutError: not in time.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[bool] = loop.create_future()

    def ready(channel: Channel) -> asyncio.Protocol:
        _settle(over, True)
        top.connection_made(channel)
        return top

    def failed() -> None:
        _settle(over, False)

    engine = tls.connect(service)
    if engine is None:
        return False
    channel = Channel(engine, tls.client, ready, failed, rejected)
    try:
        async with asyncio.timeout(limit):
            await loop.create_connection(partial(_same, channel), *address)
            return await over
    except (TimeoutError, asyncio.CancelledError) as error:
        if isinstance(error, TimeoutError) and channel.shaking:
            tls.client.refused[TIMEOUT] += 1
        channel.give_up()
        raise


def _settle(over: asyncio.Future[bool], opened: bool) -> None:
    """Tells who waits, if anybody still does."""
    if not over.done():
        over.set_result(opened)


def _same(channel: Channel) -> Channel:
    """What a loop calls for its protocol."""
    return channel
