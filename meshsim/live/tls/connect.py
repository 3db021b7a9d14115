"""The caller's end of TLS: a connection is open when its handshake is over, not before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from meshsim.live.tls.channel import Channel
from meshsim.live.tls.context import Tls
from meshsim.live.tls.refusal import TIMEOUT, RefusedError
from meshsim.live.tracked import round_trip
from meshsim.mesh.cluster import Cluster
from meshsim.mesh.link import Link
from meshsim.random import Key

Hear = Callable[[], None]
"""What is to be called when the caller can have heard of a refusal."""


class Secured:
    """Which of a proxy's connections are secured: `services` are those wanted at the other end, by edge.

    Each handshake takes so many `round_trips` over the link.
    """

    def __init__(self, tls: Tls, services: dict[int, str], round_trips: int) -> None:
        self.tls = tls
        self.services = services
        self.round_trips = round_trips

    def service(self, cluster: Cluster) -> str:
        """Whose identity is wanted of a cluster's hosts; empty where they are called without mTLS."""
        return self.services.get(cluster.edge, "")

    def trips(self, cluster: Cluster, link: Link, key: Key) -> float:
        """How long the messages of a connection's handshake are under way, s."""
        return self.round_trips * round_trip(link, key) if self.service(cluster) else 0.0

    async def connect(
        self, cluster: Cluster, top: asyncio.Protocol, address: tuple[str, int], limit: float,
        rejected: Callable[[Hear], None],
    ) -> None:  # fmt: skip
        """As `connect`, to a cluster's host."""
        await connect(self.tls, self.service(cluster), top, address, limit, rejected)


def at_once(hear: Hear) -> None:
    """A refusal is heard when it comes."""
    hear()


async def connect(
    tls: Tls, service: str, top: asyncio.Protocol, address: tuple[str, int], limit: float,
    rejected: Callable[[Hear], None] = at_once,
) -> None:  # fmt: skip
    """Opens a connection to a service within `limit`, s, and has `top` speak on it.

    The upstream looks at our certificate when we have the connection already. If it refuses that, `rejected`
    is called; until it is heard, the connection only seems to be there.

    Raises:
        RefusedError: one side refuses the other, as far as this one can know by now.
        OSError: there is no connection.
        TimeoutError: not in time.
    """
    tally = tls.client
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def ready(channel: Channel) -> asyncio.Protocol:
        if not over.done():
            over.set_result(None)
        top.connection_made(channel)
        return top

    def failed(error: RefusedError) -> None:
        if not over.done():
            over.set_exception(error)

    channel: Channel | None = None
    try:
        channel = Channel(tls.connect(service), tally, ready, failed, rejected)
        async with asyncio.timeout(limit):
            await loop.create_connection(partial(_same, channel), *address)
            await over
    except (TimeoutError, asyncio.CancelledError) as error:
        assert channel is not None, "it is made at once"
        if isinstance(error, TimeoutError) and channel.shaking:
            tally.refused[TIMEOUT] += 1
        channel.give_up()
        raise


def _same(channel: Channel) -> Channel:
    """What a loop calls for its protocol."""
    return channel
