"""One message at a time out of a stream of bytes: llhttp fed with exactly one head, then exactly one body.

httptools does not say where in its input a message ended. It needn't: a head ends at its empty line; a body
with a length ends after so many bytes; where a chunked body ends, `Chunks` says, and llhttp must agree. What
follows a message stays out of the parser until it is wanted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from meshsim.live.wire.chunks import WHOLE, Chunks
from meshsim.live.wire.heads import CHUNKED, Headers, MalformedError
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
    or CHUNKED.
    """

    headers: Headers
    framing: Headers
    pieces: list[bytes]
    chunks: Chunks
    parser: HttpRequestParser | HttpResponseParser | None

    def __init__(self, limits: Limits) -> None:
        self.headers = []
        self.framing = []
        self.pieces = []
        self.whole = False
        self.remaining = 0
        self.chunks = Chunks(limits)
        self.parser = None

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

    def expect_body(self, length: int) -> None:
        """The head has been read; a body of this length follows."""
        self.remaining = length
        if length == CHUNKED:
            self.chunks.begin()
        self.headers = []  # so that trailers don't come to stand among the headers
        self.framing = []

    def renew(self) -> None:
        """Has a new parser, which knows nothing of the messages before."""
        raise NotImplementedError

    def feed(self, data: bytes) -> None:
        """Feeds llhttp; an HttpParserError if it does not like it."""
        assert self.parser is not None, "the connection has been made"
        self.parser.feed_data(data)

    def feed_body(self, data: bytes, start: int) -> int:
        """Feeds the body from `start`; returns where the rest begins; MalformedError, HttpParserError."""
        if self.remaining >= 0:
            end = min(start + self.remaining, len(data))
            self.remaining -= end - start
        else:
            end = self.chunks.read(data, start)
        self.feed(data if end - start == len(data) else data[start:end])
        if self.remaining < 0:
            chunks = self.chunks
            if chunks.status:
                raise MalformedError(chunks.status, chunks.why)
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


def body_length(lengths: list[bytes], codings: list[bytes], minor: int) -> int | None:
    """The length of a body, or None where the head says nothing of it.

    Raises:
        MalformedError: they leave a doubt.

    Source: RFC 9112, 6.1 and 6.3, read narrowly: the same length twice is refused too.
    """
    if codings:
        if lengths:
            raise MalformedError(400, "both Content-Length and Transfer-Encoding")
        if minor == 0:
            raise MalformedError(400, "Transfer-Encoding in HTTP/1.0")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise MalformedError(501, "a Transfer-Encoding other than chunked")
        return CHUNKED
    if not lengths:
        return None
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > LONGEST_LENGTH:
        raise MalformedError(400, "an unreadable Content-Length")
    return int(lengths[0])
