"""The caller's end of TLS: a connection is open when its handshake is over, not before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import cast

from meshsim.live.tls.channel import Channel
from meshsim.live.tls.context import Tls
from meshsim.live.tls.refusal import TIMEOUT, UNREADY
from meshsim.live.tracked import round_trip
from meshsim.mesh.cluster import Cluster
from meshsim.mesh.connection import NOT_ACCEPTED, SECURED, UNTRUSTED
from meshsim.mesh.link import Link
from meshsim.random import Key

Hear = Callable[[], None]
"""What is to be called when the caller can have heard of a refusal."""


class Secured:
    """The connections that a proxy opens with mTLS: where its clusters are `secure` now.

    `services` are those wanted at the other end, by edge; each handshake takes so many `round_trips` over the
    link. What becomes of handshakes is recorded with the time that is `now`.
    """

    def __init__(
        self, tls: Tls, services: dict[int, str], round_trips: int, now: Callable[[], float]
    ) -> None:
        self.tls = tls
        self.services = services
        self.round_trips = round_trips
        self.now = now

    def service(self, cluster: Cluster) -> str:
        """Whose identity is wanted of a cluster's hosts; empty where they are called without mTLS."""
        return self.services.get(cluster.edge, "") if cluster.secure else ""

    def trips(self, cluster: Cluster, link: Link, key: Key) -> float:
        """How long the messages of a connection's handshake are under way, s."""
        return self.round_trips * round_trip(link, key) if self.service(cluster) else 0.0

    async def connect(
        self, cluster: Cluster, top: asyncio.Protocol, address: tuple[str, int], limit: float,
        rejected: Callable[[Hear], None], why: Callable[[str], None],
    ) -> bool:  # fmt: skip
        """As `connect`, to a cluster's host."""

        def refused(hear: Hear) -> None:
            self._note(cluster, NOT_ACCEPTED)
            rejected(hear)

        accepted = partial(self._note, cluster, SECURED)
        wanted = self.service(cluster)
        opened = await connect(self.tls, wanted, top, address, limit, refused, accepted, why)
        if not opened:
            self._note(cluster, UNTRUSTED)
        return opened

    def _note(self, cluster: Cluster, what: int) -> None:
        cluster.recorder.connection(cluster.edge, what, self.now())


def at_once(hear: Hear) -> None:
    """A refusal is heard when it comes."""
    hear()


async def connect(
    tls: Tls, service: str, top: asyncio.Protocol, address: tuple[str, int], limit: float,
    rejected: Callable[[Hear], None] = at_once, accepted: Callable[[], None] | None = None,
    why: Callable[[str], None] | None = None,
) -> bool:  # fmt: skip
    """Opens a connection to a service within `limit`, s, and has `top` speak on it.

    Returns whether it is open; if not, one side has refused the other, which is counted, and `why` is told
    the reason, one of `meshsim.live.tls.refusal`. The upstream looks at our certificate when we have the
    connection already: if it refuses that, `rejected` is called, and until it is heard the connection only
    seems to be there.

    Raises:
        OSError: there is no connection.
        TimeoutError: not in time.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[bool] = loop.create_future()

    def ready(channel: Channel) -> asyncio.Protocol:
        _settle(over, True)
        top.connection_made(cast(asyncio.Transport, channel))
        return top

    def failed() -> None:
        if why is not None:
            why(channel.reason)
        _settle(over, False)

    engine = tls.connect(service)
    if engine is None:
        if why is not None:
            why(UNREADY)
        return False
    channel = Channel(engine, tls.client, ready, failed, rejected, accepted, loop.call_soon)
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


def _same(channel: Channel) -> asyncio.Protocol:
    """What a loop calls for its protocol."""
    return cast(asyncio.Protocol, channel)
