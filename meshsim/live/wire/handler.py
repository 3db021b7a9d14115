"""Who serves requests: what a proxy, a service and an admin page derive from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshsim.live.wire.heads import RequestHead
from meshsim.live.wire.stream import ServerStream

if TYPE_CHECKING:
    from meshsim.live.wire.server import ServerConnection


class Handler:
    """Who serves the connections of one listener."""

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
        """A malformed head has been answered by the connection itself, which closes."""

    def opened(self, connection: ServerConnection) -> None:
        """A client has connected."""

    def closed(self, connection: ServerConnection) -> None:
        """A connection has ended."""
