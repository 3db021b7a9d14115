"""Listening sockets that can go away and come back on the same port, as those of a pod that dies do.

A port at which nobody listens may become the near end of anybody's connection, and is then not to be had for
a minute. So it is kept by a second socket that is only bound (on Linux, where both may be).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from meshsim.live.control.lines import Lines
from meshsim.live.wire import Handler, Limits, ServerConnection
from meshsim.mesh.clock import Clock
from meshsim.mesh.disruption import Disruption
from meshsim.scenario.events import on_clock
from meshsim.scenario.model import Event, Scenario
from meshsim.scenario.topology import Replica

if TYPE_CHECKING:
    from meshsim.live.tls.entrance import Entrance

BACKLOG = 4096
AGAIN = 0.05
"""Until a port that is not free is tried again, s."""
PAGE_LIMITS = Limits(head_bytes=16 << 10, header_timeout=5.0, idle_timeout=30.0)
"""Of connections to pages, which a browser, a scraper or a verb reads."""
READERS = 1024
"""Connections to the pages of one process; the oldest goes if there are more."""


class PageHandler(Handler):
    """Serves pages, to so many at once; not to whoever keeps connections that are not used."""

    def __init__(self) -> None:
        self._readers: dict[ServerConnection, None] = {}

    def opened(self, connection: ServerConnection) -> None:
        self._readers[connection] = None
        if len(self._readers) > READERS:
            oldest = next(iter(self._readers))
            del self._readers[oldest]
            oldest.abort()

    def closed(self, connection: ServerConnection) -> None:
        self._readers.pop(connection, None)


class Listening:
    """One listening socket; if `keep_alive` is > 0, connections are closed after so long idle, s.

    Where there is an `entrance`, it decides what is let in. `serve` makes what a connection becomes; it is
    one of HTTP otherwise, that the handler serves.
    """

    def __init__(
        self, handler: Handler, keep_alive: float = 0.0, entrance: Entrance | None = None,
        serve: Callable[[], Lines] | None = None,
    ) -> None:  # fmt: skip
        self.handler = handler
        self.entrance = entrance
        self.serve = serve
        pages = PAGE_LIMITS if isinstance(handler, PageHandler) else Limits()
        self.limits = Limits(idle_timeout=keep_alive) if keep_alive else pages
        self.port = 0
        self.host = ""
        self.server: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._keeping: socket.socket | None = None

    async def open(self, host: str, port: int = 0) -> int:
        """Listens; returns the port, or raises `OSError`."""
        loop = asyncio.get_running_loop()
        self.host = host
        if self._keeping is None and sys.platform == "linux":
            family, *_, address = (await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0]
            self._keeping = bound(family, address)
            port = self._keeping.getsockname()[1]
        begin = self._serve if self.entrance is None else partial(self.entrance.protocol, self._serve)
        self.server = await loop.create_server(
            lambda: cast(asyncio.Protocol, begin()), host, port, backlog=BACKLOG, reuse_address=True,
            reuse_port=True,
        )  # fmt: skip
        self.port = self.server.sockets[0].getsockname()[1]
        return self.port

    def _serve(self) -> ServerConnection | Lines:
        """What a connection becomes that is let in."""
        return ServerConnection(self.handler, self.limits) if self.serve is None else self.serve()

    def close(self) -> None:
        """As `refuse`, and gives the port back."""
        self.refuse()
        if self.entrance is not None:
            self.entrance.close()
        if self._keeping is not None:
            self._keeping.close()
            self._keeping = None

    def refuse(self) -> None:
        """Refuses connections from here on."""
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None
        if self.server is not None:
            self.server.close()
            self.server = None

    def disappear(self, abort: Callable[[], None]) -> None:
        """Nothing listens, and every connection is reset, which `abort` does."""
        self.refuse()
        if self.entrance is not None:
            self.entrance.close()
        abort()

    def reopen(self) -> None:
        """Listens again on the same port."""
        self._reopening = asyncio.get_running_loop().create_task(self._reopen())

    async def _reopen(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while self.server is None:
                try:
                    await self.open(self.host, self.port)
                except OSError:  # where it could not be kept
                    await asyncio.sleep(AGAIN)


def bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    """A socket that does nothing but be bound; an `OSError` names the address.

    NOTE: while nobody listens, SO_REUSEADDR would let anybody have the port; SO_REUSEPORT only this user.
    """
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        found.bind(address)
    except OSError as error:
        found.close()
        raise OSError(error.errno, f"{address[0]}:{address[1]} can't be had: {error.strerror}") from None
    return found


class PodDown(Disruption):
    """A pod, or a component, is gone, for as long as any event holds it down."""

    def __init__(self, go: Callable[[], None], come: Callable[[], None]) -> None:
        self.go = go
        self.come = come
        self.downs = 0

    def begin(self, now: float) -> None:
        self.downs += 1
        if self.downs == 1:
            self.go()

    def end(self, now: float) -> None:
        self.downs -= 1
        if self.downs == 0:
            self.come()


def schedule_outages(
    clock: Clock, scenario: Scenario, replica: Replica, now: float,
    go: Callable[[], None], come: Callable[[], None],
) -> None:  # fmt: skip
    """Puts the outages of a replica's pod on the clock, but for those that are over by `now`, s."""
    outage = PodDown(go, come)

    def changes(number: int, event: Event) -> Iterator[Disruption]:
        lasts = event.overlap or event.lasts
        if event.down and replica.affected_by(event) and (lasts is None or event.at + lasts > now):
            yield outage

    on_clock(clock, scenario.events, changes)
