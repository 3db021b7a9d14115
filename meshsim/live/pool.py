"""The connections of a live transport to one host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from meshsim.live.tracked import wire_of
from meshsim.live.wire.client import ClientConnection
from meshsim.mesh.cluster import Cluster
from meshsim.mesh.hosts import Host

Address = tuple[str, int]
Dial = Callable[[asyncio.Protocol, Address], Awaitable[None]]
"""Connects a protocol to an address; raises `OSError`."""


async def connect(protocol: asyncio.Protocol, address: Address) -> None:
    """The usual `Dial`."""
    await asyncio.get_running_loop().create_connection(lambda: protocol, *address)


class Pool:
    """The connections to one host; `idle` ones serve nobody, `opening` ones become a connection, or fail.

    `failure` is why the last one that failed did, as the access log has it.
    """

    name: str
    noted: str
    failure: str
    idle: list[ClientConnection]
    opening: set[asyncio.Task[None]]

    def __init__(self, address: Address, cluster: Cluster, host: Host) -> None:
        self.address = address
        self.name = f"{address[0]}:{address[1]}"
        self.noted = ""  # what the access log says of it, once
        self.cluster = cluster
        self.host = host
        self.idle = []
        self.opening = set()
        self.failure = ""

    def refused(self, reason: str) -> None:
        """A handshake has failed."""
        self.failure = f"TLS_error:_{reason}"

    def close_idle(self) -> None:
        """Closes the idle connections, but for tracked ones."""
        idle, self.idle = self.idle, []
        for connection in idle:
            connection.close()

    def tracked(self) -> list[ClientConnection]:
        """The idle connections that are tracked."""
        found = []
        connection = None if self.host.pool is None else self.host.pool.top
        while connection is not None:
            found.append(wire_of(connection).socket)
            connection = connection.below
        return found

    def stop_opening(self) -> None:
        """Gives up the connections that are being opened; nothing is reported."""
        for task in self.opening:
            task.cancel()
