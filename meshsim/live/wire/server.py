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
from typing import cast, final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from meshsim.live.wire.answering import BODY, CLOSING, DUE, ENDED, HEAD, NOTHING, WAIT, Answering
from meshsim.live.wire.framing import END, broken
from meshsim.live.wire.heads import Headers, MalformedError, RequestHead
from meshsim.live.wire.limits import Limits
from meshsim.live.wire.request import blame, read_request, request_line
from meshsim.live.wire.stream import ServerStream
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
    """The connection of one client, whose address and port are `peer`."""

    peer: tuple[str, int]
    headers_most: int

    def __init__(
        self, handler: Handler, limits: Limits, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(limits, loop or asyncio.get_running_loop())
        self.handler = handler
        self.peer = ("", 0)
        self.scanned = 0  # bytes of what is not read yet in which no head ends
        self.headers_most = limits.headers
        self.host = b""  # of the last request

    # Coming and going

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.renew()
        self.transport.set_write_buffer_limits(self.limits.buffer_bytes)
        address = transport.get_extra_info("peername")
        if address:
            self.peer = address[:2]
        now = self.loop.time()
        self.deadline = now + self.idle_timeout
        self._follow(now)
        self.handler.opened(self)

    def eof_received(self) -> bool:
        return False  # the transport sends what is left and closes

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
                end = data.find(END, at + self.scanned) + 4
                if end < 4 or end - at > self.head_bytes:
                    if not self._may_wait(data, at):
                        at = size
                    break
                at = self._read_head(data, at, end)
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
            if self.state == WAIT or self.blocked:
                self._watch()

    def _read_head(self, data: bytes, start: int, end: int) -> int:
        """Reads one request, as far as it has come; returns where what follows it begins."""
        self.scanned = 0
        self.heading = False
        try:
            head = self._parse_head(data[start:end])
        except MalformedError as error:
            # What is broken comes first, as where the head came in pieces
            self._reject(400 if broken(data, start, start, end) else error.status, error.why)
            return len(data)
        self.bare = head.method == b"HEAD"
        if head.length:
            try:
                end = self.feed_body(data, end)
            except (MalformedError, HttpParserError) as error:
                self._begin(head)  # as if the body had come later
                self._break(error)
                return len(data)
        self._begin(head)
        return end

    def _may_wait(self, data: bytes, start: int) -> bool:
        """Part of a head has come: whether it may still become a valid one, which it then has to in time."""
        limit = start + self.head_bytes
        if broken(data, start, start + max(self.scanned - 4, 0), limit):
            self._reject(400, "a control character or a bare CR or LF")
            return False
        if len(data) > limit:
            self._reject(431, "too long a head")
            return False
        self.scanned = max(len(data) - start - 3, 0)
        if not self.heading:
            self.heading = True
            self._set_timer(self.limits.header_timeout)
        return True

    def _parse_head(self, raw: bytes) -> RequestHead:
        """Has both readers read the head, and sees that they agree where the message ends."""
        line = request_line(raw)
        headers: Headers = []
        framing: Headers = []
        self.headers = headers
        self.framing = framing
        self.whole = upgrade = False
        try:
            self.feed(raw)
        except HttpParserUpgrade:
            upgrade = True
        except HttpParserError as error:
            raise MalformedError(blame(framing), str(error)) from None
        if len(headers) + len(framing) > self.headers_most:
            raise MalformedError(431, "too many headers")
        head = read_request(line, headers, framing, self.host)
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
        self.keep = head.keep_alive
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
        except (MalformedError, HttpParserError) as error:
            self._break(error)
            return len(data)
        if self.pieces:
            self.stir()
            self.stream.body(self.take())
        if self.whole and self.state == BODY:
            self.state = WAIT
            self.stream.complete()
        return end

    # Refusing

    def _time_out(self) -> None:
        self._reject(408, "a head that did not become whole in time")

    def _reject(self, status: int, why: str) -> None:
        """Answers a malformed head and closes."""
        if self.state < CLOSING:
            self._refuse(status)
            self.handler.refused(self, status, why)

    def _break(self, error: Exception) -> None:
        """Ends a request whose body is malformed."""
        if self.state < CLOSING:
            status = error.status if isinstance(error, MalformedError) else 400
            stream = self.stream
            self._refuse(status)
            stream.broken(status, str(error))
