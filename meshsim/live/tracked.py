"""Tracked connections over sockets: what an emulated link does to their beginning and their end.

The network of one machine opens a connection, and tells that the other side has closed it, in no time worth
the name. So the caller's proxy holds both back: it connects after as long as the opening takes, and takes
no notice of an end until the word of it would have come. A request that is put on the connection meanwhile
is lost, as it is where a network lies between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, final

from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.connection import IDLE, SERVER_CLOSED, Connection
from meshsim.mesh.link import Link
from meshsim.random import HANDSHAKE_BACK, HANDSHAKE_OUT, Key

if TYPE_CHECKING:  # whose compiled form imports this module
    from meshsim.live.wire.client import ClientConnection


class Holder(Protocol):
    """What has the socket of a tracked connection, until its response is whole or there will be none."""

    def hear_end(self, now: float) -> None:
        """The word comes that the other side has closed the connection, perhaps after the response."""


def round_trip(link: Link, key: Key) -> float:
    """How long a connection's handshake takes on the way out and back once, s."""
    return link.travel(key, HANDSHAKE_OUT) + link.travel(key, HANDSHAKE_BACK)


class Rejection(Event):
    """The word, on its way, that the upstream has refused the caller, who has a connection until then."""

    def __init__(self, hear: Callable[[], None]) -> None:
        self.hear = hear

    def fire(self, step: int, now: float) -> None:
        self.hear()


@final
class Opening(Event):
    """A connection that is not open before its time: then `connect` is called, or `fail` if that is too late.

    It `lasts` so long, s, one way or the other.
    """

    def __init__(
        self, connection: Connection, lasts: float, connect: Callable[[], None], fail: Callable[[float], None]
    ) -> None:
        self.connection = connection
        self.connect = connect
        self.fail = fail
        self.late = connection.rule.gives_up(lasts)
        self.lasts = connection.rule.connect_timeout if self.late else lasts

    def fire(self, step: int, now: float) -> None:
        if not self.connection.wanted():
            return
        if self.late:
            self.fail(now)
        else:
            self.connect()


@final
class Wire(Event):
    """The socket of a tracked connection; as an event, the word that the other side has closed it.

    `holder` is what has the socket now; `ending` while the word is on its way.
    """

    holder: Holder | None

    def __init__(self, connection: Connection, socket: ClientConnection, link: Link | None) -> None:
        self.connection = connection
        self.socket = socket
        self.link = link
        self.holder = None
        self.ending = False

    def give_back(self) -> None:
        """A response has come, perhaps with the end of the connection."""
        self.holder = None
        self.connection.finished = not (self.socket.reusable or self.ending)

    def lost(self, clock: Clock, now: float) -> None:
        """The other side has closed it, and no response is awaited."""
        if self.link is None:
            self.fire(0, now)
        else:
            self.ending = True
            clock.at(now + self.link.finish(self.connection.key), self, 0)

    def fire(self, step: int, now: float) -> None:
        self.ending = False
        if self.connection.state == IDLE:
            self.connection.pool.keeper.lose(self.connection, SERVER_CLOSED, now)
        elif self.holder is not None:
            self.holder.hear_end(now)

    def close(self) -> None:
        """Closes the socket, unless a holder has it, whose business that is then."""
        if self.holder is None:
            self.socket.close()


def wire_of(connection: Connection) -> Wire:
    """The socket of a tracked connection, which is open."""
    wire = connection.wire
    assert isinstance(wire, Wire), "a live connection has one"
    return wire
