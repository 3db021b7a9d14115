"""Who serves requests: the two classes that a proxy, a service and an admin page derive from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshsim.live.wire.heads import RequestHead

if TYPE_CHECKING:
    from meshsim.live.wire.server import ServerConnection


class ServerStream:
    """One request being served: what its server is told of it. The methods of this base class do nothing."""

    __slots__ = ()

    def body(self, data: bytes) -> None:
        """More of the request's body."""

    def complete(self) -> None:
        """The request's body is whole."""

    def gone(self) -> None:
        """The client went away, or sent a broken body, before its answer was whole; nothing more is told."""

    def writable(self, yes: bool) -> None:
        """Whether more of the answer should be sent (back-pressure)."""


class Handler:
    """Who serves the connections of one listener."""

    __slots__ = ()

    def begin(
        self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool
    ) -> ServerStream:
        """A request has come. It may be answered at once; then what is returned hears nothing.

        Args:
            connection: to answer on.
            head: validated.
            body: what has come of it.
            whole: nothing more comes; otherwise `ServerStream.body` and `ServerStream.complete` follow.
        """
        raise NotImplementedError

    def refused(self, connection: ServerConnection, status: int, why: str) -> None:
        """A malformed request has been answered by the connection itself, which closes."""

    def opened(self, connection: ServerConnection) -> None:
        """A client has connected."""

    def closed(self, connection: ServerConnection) -> None:
        """A connection has ended."""


NOBODY = ServerStream()
"""Hears what nobody wants to."""
