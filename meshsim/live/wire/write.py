"""Writing: from what was read of others, or from ourselves; nothing is passed on raw."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from http import HTTPStatus

from meshsim.live.wire.heads import CHUNKED, UNTIL_CLOSE, Headers

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_LINES = {n: b"HTTP/1.1 %d %b\r\n" % (n, _REASONS.get(n, b"")) for n in range(100, 1000)}

CONTINUE = _LINES[100] + b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time

_BODILESS_METHODS = frozenset([b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE"])


def reason(status: int) -> bytes:
    """The standard words for a status."""
    return _LINES[status][13:].rstrip()


def request_head(
    method: bytes, path: bytes, host: bytes, headers: Headers, length: int, more: bytes = b""
) -> bytes:
    """The head of a request in HTTP/1.1, with end-to-end headers but Host and Content-Length.

    `path` is in origin form; `length` is of the body in bytes, or CHUNKED; `more` are whole lines of further
    headers, each with its CRLF.
    """
    pieces = [method, b" ", path, b" HTTP/1.1\r\nhost: ", host, b"\r\n"]
    _add(pieces, headers)
    pieces.append(more)
    if length == 0 and method in _BODILESS_METHODS:
        pieces.append(b"\r\n")
    elif length == CHUNKED:
        pieces.append(b"transfer-encoding: chunked\r\n\r\n")
    else:
        pieces.append(f"content-length: {length}\r\n\r\n".encode())
    return b"".join(pieces)


def _add(pieces: list[bytes], headers: Headers) -> None:
    """Adds the lines of headers.

    NOTE: pieces that are joined once cost a third of formatting each line, and then all of them.
    """
    for name, value in headers:
        pieces.append(name)
        pieces.append(b": ")
        pieces.append(value)
        pieces.append(b"\r\n")


def response_head(status: int, headers: Headers, length: int, connection: bytes) -> bytes:
    """The head of a response in HTTP/1.1, status 100-999, with end-to-end headers without Content-Length.

    `length` is of the body in bytes, CHUNKED, or UNTIL_CLOSE, for which nothing is written; `connection` is a
    whole `connection` line with its CRLF, or nothing.
    """
    line: bytes = _LINES[status]
    pieces = [line]
    _add(pieces, headers)
    if connection:
        pieces.append(connection)
    if length >= 0:
        pieces.append(f"content-length: {length}\r\n\r\n".encode())
    elif length == UNTIL_CLOSE:
        pieces.append(b"\r\n")
    else:
        pieces.append(b"transfer-encoding: chunked\r\n\r\n")
    return b"".join(pieces)


def chunk(data: bytes) -> bytes:
    """One chunk of a body; `data` must not be empty, which would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def reset(transport: asyncio.Transport) -> None:
    """Closes a connection by a TCP reset, dropping what was not sent."""
    peer = transport.get_extra_info("socket")
    if peer is not None:
        with suppress(OSError):  # it has been closed already
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
