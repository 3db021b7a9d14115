"""Where an exchange's request goes, and its answer comes from."""

from __future__ import annotations

from meshsim.live.transport import Delivery, SocketTransport
from meshsim.live.wire.heads import ResponseHead
from meshsim.mesh.attempt import Attempt


class Upstream(Delivery):
    """One attempt of an exchange; what has come back is whole, or a head whose body follows."""

    answer: ResponseHead | None

    def __init__(self, transport: SocketTransport, attempt: Attempt) -> None:
        super().__init__(transport, attempt)
        self.answer = None
        self.answer_body = b""
        self.answer_whole = False

    def send(self, data: bytes) -> None:
        """More of the request's body."""
        if self.connection is not None:
            self.connection.send(data)

    def finish(self) -> None:
        """The request's body is whole."""
        if self.connection is not None:
            self.connection.end()

    def flow(self, yes: bool) -> None:
        """Whether more of the response is wanted now."""
        if self.connection is not None:
            if yes:
                self.connection.release()
            else:
                self.connection.hold()

    def cut(self, now: float) -> None:
        """The rest of the response is not wanted, or will not come."""
        raise NotImplementedError
