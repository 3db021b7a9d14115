"""The requesting side of a connection: one request at a time, and its response.

```
   IDLE ──request──► HEAD ──head──► BODY, RAW (until close) ──whole──► IDLE, or CLOSED: not to be used again
     └── closed by the peer, or bytes that nobody asked for: `idle_lost`
```

A connection is used again only if both sides keep it, the request was sent to its end, and nothing followed
the response: a byte too many could be the answer to somebody else's request.

A response that is not exactly what RFC 9112 says is garbage: it is lost and the connection closed. That is a
first line that is not `HTTP/1.x 3DIGIT [reason]`; bare CR or LF, control characters (in a reason too), folded
lines; doubts about the length, as for requests; a switch of protocols that nobody asked for; more than
`Limits.informational` answers 1xx; a head beyond the `Limits`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import final

from httptools import HttpResponseParser

from meshsim.live.wire.framing import Framing
from meshsim.live.wire.heads import UNTIL_CLOSE, MalformedError, ResponseHead
from meshsim.live.wire.limits import Limits
from meshsim.live.wire.write import LAST_CHUNK, chunk, reset

CLOSED = 1
"""A kind of loss: the connection ended before any of the response came."""
HUNG_UP = "closed by the upstream"
"""Why a response is lost whose upstream has closed in the usual way, without a word."""
GARBAGE = 2
"""A kind of loss: what came is not HTTP; a response that breaks off is none either, as Envoy sees it."""

BEGIN = b"HTTP/1."
"""Of every response: what begins otherwise is not waited for."""
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t -~\x80-\xff]*+)?\r\n")

_IDLE = 0
_HEAD = 1
_BODY = 2
_RAW = 3
_CLOSED = 4


class Reply:
    """Who waits for a response. One of `whole` and `head` is called, unless the response is lost before."""

    def whole(self, connection: ClientConnection, head: ResponseHead, body: bytes) -> None:
        """The response, where head and body came together. Another request may be made at once."""

    def head(self, connection: ClientConnection, head: ResponseHead) -> None:
        """The head of a response whose body follows by `body` and `complete`."""

    def body(self, data: bytes) -> None:
        """More of the body."""

    def complete(self, connection: ClientConnection) -> None:
        """The body is whole. Another request may be made at once."""

    def informed(self, status: int) -> None:
        """An answer 1xx came; the response is still to come."""

    def lost(self, connection: ClientConnection, kind: int, why: str) -> None:
        """There will be no more of a response: its `kind` is CLOSED or GARBAGE, `why` is for logs.

        The connection is now closed; its `answering` says whether a head had come.
        """

    def writable(self, yes: bool) -> None:
        """Whether more of the request's body should be sent (back-pressure)."""


_NOBODY = Reply()


@final
class ClientConnection(Framing):
    """One connection to an upstream.

    `idle_lost` is called when it ends by the peer's doing while no response is awaited. `answering`: the head
    of the current (or last) response has come. Once the response is whole, it is `reusable` or has been
    closed. `identity` is whom the upstream's certificate names, nobody without mTLS.
    """

    reply: Reply
    state: int
    identity: str
    noted: str

    def __init__(self, idle_lost: Callable[[ClientConnection], None], limits: Limits) -> None:
        super().__init__(limits)
        self.idle_lost = idle_lost
        self.reply = _NOBODY
        self.state = _IDLE
        self.method = b""
        self.answering = False
        self.reusable = False
        self.chunked = False
        self.sent = True
        self.informed = 0
        self.line = b""  # the status line of the last response
        self.minor = 0
        self.status = 0
        self.identity = ""
        self.noted = ""  # what the access log says of it, once

    # Coming and going

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.reusable = True

    def eof_received(self) -> bool:
        # NOTE: `connection_lost` comes a turn of the loop later: too late for a request that is read before
        if self.state == _IDLE:
            self._forget()
            self.idle_lost(self)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        state = self.state
        reply = self.reply
        begun = state != _HEAD or self.rest != b""
        self._forget()
        self.parser = None  # which knows this connection
        if state == _RAW and error is None:
            reply.complete(self)
        elif state == _IDLE:
            self.idle_lost(self)
        elif state != _CLOSED:
            kind = GARBAGE if begun else CLOSED
            reply.lost(self, kind, str(error) if error else HUNG_UP)

    def renew(self) -> None:
        self.parser = HttpResponseParser(self)

    def _forget(self) -> None:
        """No response is awaited any more, and none will be."""
        self.state = _CLOSED
        self.reply = _NOBODY
        self.reusable = False
        self.rest = b""

    # Requesting

    def request(
        self, reply: Reply, head: bytes, body: bytes, whole: bool, method: bytes, chunked: bool = False
    ) -> None:
        """Sends a request: a head by `request_head` and what there is of its body.

        If that is not `whole`, `send` and `end` follow. Where the head says `chunked`, the body is given
        without the framing of chunks.
        """
        if self.state != _IDLE:
            assert self.state == _CLOSED, "a connection carries one request at a time"
            self.answering = False
            reply.lost(self, CLOSED, "closed before the request was sent")
            return
        self.reply = reply
        self.state = _HEAD
        self.method = method
        self.chunked = chunked
        self.sent = whole
        self.answering = self.reusable = False
        self.informed = 0
        if chunked:
            body = (chunk(body) if body else b"") + (LAST_CHUNK if whole else b"")
        self.transport.write(head + body if body else head)

    def send(self, data: bytes) -> None:
        """Sends more of the request's body."""
        if self.state != _CLOSED and not self.sent and data:
            self.transport.write(chunk(data) if self.chunked else data)

    def end(self) -> None:
        """The request's body is whole."""
        if self.state != _CLOSED and not self.sent:
            self.sent = True
            if self.chunked:
                self.transport.write(LAST_CHUNK)

    # Reading

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
            self.rest = b""
        try:
            while data and self.state == _HEAD:
                data = self._read_head(data)
            if not data:
                return
            state = self.state
            if state == _BODY:
                self._read_body(data)
            elif state == _RAW:
                self.reply.body(data)
            elif state == _IDLE:
                self.close()
                self.idle_lost(self)
        except MalformedError as error:
            reply = self.reply
            self.abort()
            reply.lost(self, GARBAGE, error.why)

    def _read_head(self, data: bytes) -> bytes:
        """Reads one response, as far as it has come; returns the rest of `data`."""
        end = self.head_end(data, 0)
        if end == 0:
            if data[: len(BEGIN)] != BEGIN[: len(data)]:
                raise MalformedError(502, "no status line")
            self.rest = data
            return b""
        head = self._parse_head(data[:end] if len(data) > end else data)
        if head.status < 200:
            self.informed += 1
            if self.informed > self.limits.informational or not self.whole:
                raise MalformedError(502, "too many informational answers")
            self.reply.informed(head.status)
            return data[end:]
        self._settle_body(head)
        if not self.whole and self.remaining != UNTIL_CLOSE:
            end = self.feed_body(data, end)
        self.answering = True
        reply = self.reply
        if self.whole:
            self._deliver(self.keep and len(data) == end)
            reply.whole(self, head, self.take() if self.pieces else b"")
            return b""
        self.state = _RAW if self.remaining == UNTIL_CLOSE else _BODY
        reply.head(self, head)
        if self.pieces:
            body = self.take()
            if self.reply is reply:
                reply.body(body)
        return data[end:]

    def _parse_head(self, raw: bytes) -> ResponseHead:
        """Has both readers read the head."""
        if not self.line or not raw.startswith(self.line):  # NOTE: nearly all responses begin alike
            line = STATUS_LINE.match(raw)
            if line is None:
                raise MalformedError(502, "no status line")
            self.line, version, status = line.group(0, 1, 2)
            self.minor = 1 if version == b"1" else 0
            self.status = int(status)
        if self.feed_head(raw) or self.status == 101:
            raise MalformedError(502, "a switch of protocols that nobody asked for")
        return ResponseHead(self.status, self.headers, self.read_framing(self.minor))

    def _settle_body(self, head: ResponseHead) -> None:
        """Says how much body follows: `whole` if none does, else `remaining`."""
        if self.method == b"HEAD":
            if not self.whole:  # llhttp waits for a body that does not come
                self.renew()
            self.whole = True
            return
        if head.status == 204:
            head.length = 0
        length = 0 if head.status == 304 else head.length
        if self.whole != (length == 0):
            raise MalformedError(502, "a body whose length is in doubt")
        if not self.whole:
            self.expect_body(length)
            if length == UNTIL_CLOSE:
                self.keep = False

    def _read_body(self, data: bytes) -> None:
        """Reads more of a body."""
        end = self.feed_body(data, 0)
        reply = self.reply
        if self.pieces:
            reply.body(self.take())
        if self.whole and self.state == _BODY:
            self._deliver(self.keep and end == len(data))
            reply.complete(self)

    def _deliver(self, reusable: bool) -> None:
        """The response is whole: ready for the next request, or closed."""
        self.reply = _NOBODY
        self.state = _IDLE
        self.reusable = reusable and self.sent
        if not self.reusable:
            self.close()
        elif self.held:
            self.flow(True)

    # Closing

    def close(self) -> None:
        """Closes the connection when all is sent; whoever waits for a response hears nothing more."""
        if self.state != _CLOSED:
            self._forget()
            self.transport.close()

    def abort(self) -> None:
        """Resets the connection; whoever waits for a response hears nothing more."""
        if self.state != _CLOSED:
            self._forget()
            reset(self.transport)

    # Back-pressure

    def flow(self, yes: bool) -> None:
        """Whether more of the response is wanted now."""
        if self.state != _CLOSED and self.held == yes:
            self.held = not yes
            if yes:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def pause_writing(self) -> None:
        self.reply.writable(False)

    def resume_writing(self) -> None:
        self.reply.writable(True)
