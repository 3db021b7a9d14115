"""The serving side of a connection: requests in, answers out, one after the other.

```
   HEAD ──head read: Handler.begin──► BODY ──body whole──► WAIT ──answer whole──► HEAD (keep-alive)
     │                                  │                    └──────────────────► CLOSING
     └── refused ──► CLOSING ◄──────────┴── broken, or answered before the body was whole
   CLOSING: the last answer is on its way, input is dropped; then ENDED
```

An answer that is whole before its request is ends the connection, as in Envoy: what still comes of the body
belongs to nobody. Requests that come while another is being served wait unread; when they are more than
`Limits.head_bytes`, the connection is no longer read.

A client that half-closes has gone, as for Envoy.
"""

from __future__ import annotations

import asyncio
from typing import final

from httptools import HttpRequestParser

from meshsim.live.wire.answering import BODY, DUE, ENDED, HEAD, NOTHING, WAIT, Answering, ServerStream
from meshsim.live.wire.framing import broken
from meshsim.live.wire.heads import MalformedError, RequestHead
from meshsim.live.wire.limits import Limits
from meshsim.live.wire.request import read_request, request_line
from meshsim.live.wire.write import request_head


class Handler:
    """Who serves the connections of one listener: a proxy, a service, an admin page."""

    def begin(
        self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool
    ) -> ServerStream:
        """A request has come. It may be answered at once; then what is returned hears nothing.

        Its head is validated. If it is not `whole`, `ServerStream.body` and `ServerStream.complete` follow.
        """
        raise NotImplementedError

    def refused(self, connection: ServerConnection, status: int, why: str) -> None:
        """A malformed head has been answered by the connection itself, which closes."""

    def opened(self, connection: ServerConnection) -> None:
        """A client has connected."""

    def closed(self, connection: ServerConnection) -> None:
        """A connection has ended."""


@final
class ServerConnection(Answering):
    """The connection of one client; `identity` is whom its certificate names, nobody without mTLS."""

    identity: str
    noted: str

    def __init__(
        self, handler: Handler, limits: Limits, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(limits, loop or asyncio.get_running_loop())
        self.handler = handler
        self.host = b""  # of the last request
        self.identity = ""
        self.noted = ""  # what the access log says of it, once

    # Coming and going

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        now = self.loop.time()
        self.deadline = now + self.idle_timeout
        self._follow(now)
        self.handler.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.state = ENDED
        self.timer.cancel()
        self.rest = b""
        self.parser = None  # which knows this connection
        self._let_go().gone()
        self.handler.closed(self)

    def renew(self) -> None:
        self.parser = HttpRequestParser(self)

    # Reading

    def data_received(self, data: bytes) -> None:
        self._read(self.rest[self.place :] + data if self.rest else data, 0)

    def _read(self, data: bytes, at: int) -> None:
        # NOTE: a place in the data moves on, the data stays: to cut off what has been read would cost, of
        # many small requests in one segment, the square of their number.
        self.rest = b""
        self.busy = True
        size = len(data)
        while at < size:
            state = self.state
            if state == HEAD:
                if self.blocked:
                    break
                start = at
                at = self._read_head(data, start)
                if at == start:
                    break
            elif state == BODY:
                at = self._read_body(data, at)
            elif state == WAIT:
                break
            else:
                at = size
        self.busy = False
        if at < size:
            self.rest = data
            self.place = at
            self._watch()

    def _read_head(self, data: bytes, start: int) -> int:
        """Reads one request, as far as it has come.

        Returns where what follows it begins: at `start` if the rest of its head has to be waited for.
        """
        waits = self.seen > 0
        end = 0
        try:
            end = self.head_end(data, start)
            if end == 0:
                if not waits:
                    self._set_timer(self.limits.header_timeout)
                return start
            head = self._parse_head(data[start:end])
        except MalformedError as error:
            # What is broken comes first, as where the head came in pieces
            limit = end or start + self.head_bytes
            self._refuse(400 if broken(data, start, start, limit) else error.status, error.why)
            return len(data)
        self.bare = head.method == b"HEAD"
        if head.length:
            try:
                end = self.feed_body(data, end)
            except MalformedError as error:
                self.whole = False
                self._begin(head)  # as if the body had come later
                self._refuse(error.status, error.why)
                return len(data)
        self._begin(head)
        return end

    def _parse_head(self, raw: bytes) -> RequestHead:
        """Has both readers read the head, and sees that they agree where the message ends."""
        line = request_line(raw)
        upgrade = self.feed_head(raw)
        head = read_request(line, self, self.host)
        self.host = head.host
        if upgrade:  # ignored: llhttp, which would stop here, is given the head without it
            self.whole = False
            self.renew()
            self.feed(request_head(head.method, b"/", b"a", [], head.length))
        if self.whole != (head.length == 0):
            raise MalformedError(400, "a body whose length is in doubt")
        if head.length:
            self.expect_body(head.length)
        return head

    def _begin(self, head: RequestHead) -> None:
        """Hands a request to the handler."""
        whole = self.whole
        body = self.take() if self.pieces else b""
        self.state = WAIT if whole else BODY
        self.due = DUE
        self.minor = head.minor
        self.expects = head.expects and not whole and not body
        self.stir()
        stream = self.handler.begin(self, head, body, whole)
        if self.due != NOTHING:
            self.stream = stream
            if self.blocked:
                stream.writable(False)

    def _read_body(self, data: bytes, start: int) -> int:
        """Reads more of a body; returns where what follows it begins."""
        self.expects = False
        try:
            end = self.feed_body(data, start)
        except MalformedError as error:
            self._refuse(error.status, error.why)
            return len(data)
        if self.pieces:
            self.stir()
            self.stream.body(self.take())
        if self.whole and self.state == BODY:
            self.state = WAIT
            self.stream.complete()
        return end

    def _refused(self, status: int, why: str) -> None:
        self.handler.refused(self, status, why)
