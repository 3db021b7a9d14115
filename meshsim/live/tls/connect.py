"""The caller's end of TLS: a connection is open when its handshake is over, not before."""

from __future__ import annotations

import asyncio
from typing import cast

from meshsim.live.tls.channel import Channel
from meshsim.live.tls.context import Tls
from meshsim.live.tls.refusal import TIMEOUT, RefusedError


async def connect(tls: Tls, service: str, top: asyncio.BaseProtocol, host: str, port: int) -> None:
    """Opens a connection to a service, and has `top` speak on it; whoever waits may be cancelled.

    Raises:
        RefusedError: either side refuses the other, as far as this one can know by now.
        OSError: there is no connection.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def ready(channel: Channel) -> asyncio.Protocol:
        tls.client.handshakes += 1
        if not over.done():
            over.set_result(None)
        top.connection_made(channel)
        return cast(asyncio.Protocol, top)

    def failed(error: RefusedError) -> None:
        tls.client.refused[error.reason] += 1
        if not over.done():
            over.set_exception(error)

    try:
        channel = Channel(tls.connect(service), ready, failed)
    except RefusedError as error:
        tls.client.refused[error.reason] += 1
        raise
    await loop.create_connection(lambda: channel, host, port)
    try:
        await over
    except asyncio.CancelledError:
        if not channel.is_open():
            tls.client.refused[TIMEOUT] += 1
        channel.give_up()
        raise
