"""Reading the head of a response.

What is not exactly what RFC 9112 says is garbage: the response is lost and the connection closed. That is a
first line that is not `HTTP/1.x 3DIGIT [reason]`; bare CR or LF, control characters (in a reason too), folded
lines; doubts about the length, as for requests; a switch of protocols that nobody asked for; more than
`Limits.informational` answers 1xx; a head beyond the `Limits`. Bytes that follow a response close the
connection too.
"""

from __future__ import annotations

import re

from meshsim.live.wire.framing import body_length, drop_named, tokens
from meshsim.live.wire.heads import UNTIL_CLOSE, Headers, MalformedError, ResponseHead

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t -~\x80-\xff]*+))?\r\n")


def status_line(head: bytes) -> re.Match[bytes]:
    """Matches minor version, status and reason; a MalformedError if it is no status line."""
    line = STATUS_LINE.match(head)
    if line is None:
        raise MalformedError(502, "no status line")
    return line


def read_response(minor: int, status: int, words: bytes, headers: Headers, framing: Headers) -> ResponseHead:
    """The head of a response, UNTIL_CLOSE where it has no length; a MalformedError if it is refused."""
    lengths: list[bytes] = []
    codings: list[bytes] = []
    named: list[bytes] = []
    closes = keeps = False
    name: bytes
    value: bytes
    for name, value in framing:
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
        elif name == b"connection":
            if value == b"keep-alive":  # NOTE: as good as always, and cheaper than to take a list apart
                keeps = True
            else:
                named += tokens(value)
    length = body_length(lengths, codings, minor)
    if named:
        drop_named(headers, named)
        closes = b"close" in named
        keeps = keeps or b"keep-alive" in named
    keep_alive = not closes and (minor == 1 or keeps)
    return ResponseHead(status, words, headers, UNTIL_CLOSE if length is None else length, keep_alive)
