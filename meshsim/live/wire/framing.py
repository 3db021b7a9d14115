"""One message at a time out of a stream of bytes: llhttp fed with exactly one head, then exactly one body.

httptools does not say where in its input a message ended. It needn't: a head ends at its empty line; a body
with a length ends after so many bytes; where a chunked body ends, `Chunks` says, and llhttp must agree. What
follows a message stays out of the parser until it is wanted.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade

from meshsim.live.wire.chunks import WHOLE, Chunks
from meshsim.live.wire.heads import CHUNKED, UNTIL_CLOSE, Headers, MalformedError
from meshsim.live.wire.limits import Limits

if TYPE_CHECKING:
    from httptools import HttpRequestParser, HttpResponseParser

END = b"\r\n\r\n"

FRAMING = frozenset(
    # the first line: read here, and written anew on sending; the second: of this hop only (RFC 9110, 7.6.1)
    b"connection content-length expect host transfer-encoding upgrade "
    b"keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer".split()
)
"""Headers that are never passed on."""

BROKEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n|\Z)")
"""What no head contains: control characters, bare LF, bare CR."""


def broken(data: bytes, start: int, at: int, limit: int) -> bool:
    """Whether a head that begins at `start` contains such, from `at` to `limit`.

    NOTE: a look-behind sees what is before `at`, and so the CR that a body may end with.
    """
    return data.startswith(b"\n", start) or BROKEN.search(data, at, limit) is not None


SPACE = 0x20
TAB = 0x09
LONGEST_LENGTH = 18
"""Digits of a Content-Length."""


class Framing:
    """The reading half of a connection: what llhttp calls while it is fed.

    Of the head being read, or of trailers (dropped), `framing` has the headers of `FRAMING`, `headers` the
    others. `pieces` of a body are what llhttp has given and nobody has taken, `remaining` its bytes to come,
    or CHUNKED. `rest` is input that was not yet read, `seen` how much of it is known to be part of a head.
    """

    transport: asyncio.Transport
    headers: Headers
    framing: Headers
    pieces: list[bytes]
    chunks: Chunks
    parser: HttpRequestParser | HttpResponseParser | None
    head_bytes: int
    headers_most: int

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.head_bytes = limits.head_bytes
        self.headers_most = limits.headers
        self.headers = []
        self.framing = []
        self.pieces = []
        self.whole = False
        self.remaining = 0
        self.chunks = Chunks(limits)
        self.parser = None
        self.rest = b""
        self.seen = 0
        self.keep = True  # the connection, after the message
        self.upgrading = False  # the head's `connection` names `upgrade`
        self.held = False  # no more of a body is wanted now

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the connection is there."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(self.limits.buffer_bytes)
        self.renew()

    def eof_received(self) -> bool:
        """Asyncio: the other side half-closes. False: the transport sends what is left and closes."""
        return False

    # What llhttp calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """Httptools: a header or trailer.

        NOTE: llhttp leaves white space at the end of a value. To look at the last byte of each is cheaper
        than to search the whole head for it.
        """
        name = name.lower()
        size = len(value)
        if size > 0 and (value[size - 1] == SPACE or value[size - 1] == TAB):
            value = value.rstrip(b" \t")
        if name in FRAMING:
            self.framing.append((name, value))
        else:
            self.headers.append((name, value))

    def on_body(self, data: bytes) -> None:
        """Httptools: a piece of the body, without the framing of its chunks."""
        self.pieces.append(data)

    def on_message_complete(self) -> None:
        """Httptools: the message is complete."""
        self.whole = True

    # Feeding it

    def renew(self) -> None:
        """Has a new parser, which knows nothing of the messages before."""
        raise NotImplementedError

    def feed(self, data: bytes) -> None:
        """Feeds llhttp; a MalformedError if it does not like it, an HttpParserUpgrade at an upgrade."""
        assert self.parser is not None, "the connection has been made"
        try:
            self.parser.feed_data(data)
        except HttpParserError as error:
            raise MalformedError(400, str(error)) from None

    def head_end(self, data: bytes, start: int) -> int:
        """Where the head from `start` ends; 0 if more of it has to come. A MalformedError if none can."""
        end = data.find(END, start + max(self.seen - 3, 0)) + 4
        limit = start + self.head_bytes
        if end >= 4 and end <= limit:
            self.seen = 0
            return end
        if broken(data, start, start + max(self.seen - 1, 0), limit):
            raise MalformedError(400, "a control character or a bare CR or LF")
        if len(data) > limit:
            raise MalformedError(431, "too long a head")
        self.seen = len(data) - start
        return 0

    def feed_head(self, raw: bytes) -> bool:
        """Feeds a whole head; returns whether llhttp stopped at an upgrade. MalformedError."""
        self.headers = []
        self.framing = []
        self.whole = False
        upgrade = False
        try:
            self.feed(raw)
        except HttpParserUpgrade:
            upgrade = True
        except MalformedError as error:
            for name, value in self.framing:
                if name == b"transfer-encoding" and value.lower() != b"chunked":
                    error.status = 501
            raise
        if len(self.headers) + len(self.framing) > self.headers_most:
            raise MalformedError(431, "too many headers")
        return upgrade

    def read_framing(self, minor: int) -> int:
        """The length of the body, UNTIL_CLOSE where the head does not say; finds out whether to `keep`.

        Headers that `connection` names are dropped.

        Raises:
            MalformedError: the length is in doubt.

        Source: RFC 9112, 6.1, 6.3 and 9.3, read narrowly: the same length twice is refused too.
        """
        lengths = codings = 0
        length = coding = connection = b""
        name: bytes
        value: bytes
        for name, value in self.framing:
            if name == b"content-length":
                length = value
                lengths += 1
            elif name == b"transfer-encoding":
                coding = value
                codings += 1
            elif name == b"connection":
                connection = connection + b"," + value if connection else value
        self.keep = minor == 1 or connection == b"keep-alive"
        self.upgrading = False
        if connection and connection != b"keep-alive":  # NOTE: which it mostly is
            named = tokens(connection)
            drop_named(self.headers, named)
            self.keep = b"close" not in named and (minor == 1 or b"keep-alive" in named)
            self.upgrading = b"upgrade" in named
        if codings:
            if lengths:
                raise MalformedError(400, "both Content-Length and Transfer-Encoding")
            if minor == 0:
                raise MalformedError(400, "Transfer-Encoding in HTTP/1.0")
            if codings > 1 or coding.lower() != b"chunked":
                raise MalformedError(501, "a Transfer-Encoding other than chunked")
            return CHUNKED
        if not lengths:
            return UNTIL_CLOSE
        if lengths > 1 or not length.isdigit() or len(length) > LONGEST_LENGTH:
            raise MalformedError(400, "an unreadable Content-Length")
        return int(length)

    def expect_body(self, length: int) -> None:
        """The head has been read; a body of this length follows."""
        self.remaining = length
        if length == CHUNKED:
            self.chunks.begin()
        self.headers = []  # so that trailers don't come to stand among the headers
        self.framing = []

    def feed_body(self, data: bytes, start: int) -> int:
        """Feeds the body from `start`; returns where the rest begins. MalformedError."""
        chunks = self.chunks
        if self.remaining >= 0:
            end = min(start + self.remaining, len(data))
            self.remaining -= end - start
        else:
            end = chunks.read(data, start)
        self.feed(data if end - start == len(data) else data[start:end])
        if self.remaining < 0:
            error = chunks.error
            if error is not None:
                # NOTE: raised anew: a traceback, kept, would hold what came until circles are looked for
                raise MalformedError(error.status, error.why)
            if self.whole != (chunks.state == WHOLE):
                raise MalformedError(400, "chunks whose end is in doubt")
            if self.whole and self.framing:  # trailers: llhttp would heed a `connection: close` among them
                self.renew()
        return end

    def take(self) -> bytes:
        """The pieces of the body that have come since the last call, as one."""
        pieces = self.pieces
        if not pieces:
            return b""
        self.pieces = []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def drop_named(headers: Headers, named: list[bytes]) -> None:
    """Drops the headers that `connection` names, in place."""
    for name in named:
        if name not in FRAMING and name != b"close" and name != b"keep-alive":
            dropped = frozenset(named)  # they may be thousands
            headers[:] = [header for header in headers if header[0] not in dropped]
            return


def tokens(value: bytes) -> list[bytes]:
    """The members of a list of tokens, in lower case."""
    return [token.strip(b" \t") for token in value.lower().split(b",")]
