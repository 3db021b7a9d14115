"""Bytes that two readers of HTTP/1.1 may read differently: one list, made of parts.

Each vector ends in a request for ``/vN/inner``: whoever takes it for a request of its own where another takes
it for a body, or stops before it, disagrees on where requests end. ``N`` is the vector's number, so that
whatever arrives anywhere is known to be its.

Source: RFC 9112, 9.2 and 11.2; RFC 9110, 5.5 and 6.1; and what is publicly known of request smuggling: CL.TE,
TE.CL and TE.0, obsolete folding, bare LF and CR, chunk extensions, lengths that are no numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

HOST = b"host: cart\r\n"
END = b"0\r\n\r\n"

CODINGS = [
    b"chunked", b"Chunked", b"CHUNKED", b" chunked", b"chunked ", b"\tchunked", b"chunked\t", b"chunked,",
    b",chunked", b", chunked", b"chunked, chunked", b"identity", b"identity, chunked", b"chunked, identity",
    b"gzip, chunked", b"chunked, gzip", b"deflate", b"xchunked", b"chunkedx", b"chunk ed", b'"chunked"',
    b"'chunked'", b"chunked;q=1", b"chunked; x=y", b"\x0bchunked", b"chunked\x0b", b"\x0cchunked",
    b"chunked\x00", b"\x00chunked", b"chun\x00ked", b"chunked\x85", b"chunked\xa0", b"ch\xc3\xbcnked", b"",
    b"cow", b"trailers, chunked", b"chunked\r\n ", b"\r\n chunked", b"\r\n\tchunked", b"chunked\r\n , gzip",
]  # fmt: skip
"""Values of Transfer-Encoding."""

NAMES = [
    b"transfer-encoding", b"Transfer-Encoding", b"TRANSFER-ENCODING", b"Transfer_Encoding",
    b"transfer-encoding ", b"transfer-encoding\t", b" transfer-encoding", b"\ttransfer-encoding",
    b"transfer-encoding\x00", b"transfer-encoding\x0b", b"transfer\x00-encoding", b"transfer-encoding\r",
    b"x: y\ntransfer-encoding", b"x: y\rtransfer-encoding", b"x: y\n\ttransfer-encoding",
    b"x: y\x00\r\ntransfer-encoding", b"x:\r\n transfer-encoding", b"x: y\r\n\ttransfer-encoding",
    b"x\r\ntransfer-encoding", b": \r\ntransfer-encoding", b"\x7ftransfer-encoding", b"transfer encoding",
    b"transfer-encoding:transfer-encoding", b"content-encoding", b"te", b"x-transfer-encoding",
]  # fmt: skip
"""What may be taken for the name of Transfer-Encoding."""

LENGTHS = [
    b"5", b"05", b"0000000000000000000005", b"+5", b"-5", b"-0", b"0x5", b"5x", b" 5", b"5 ", b"\t5", b"5\t",
    b"5,5", b"5, 5", b"5,6", b"6,5", b"5;", b"5;6", b"5.0", b"5e0", b"5_0", b"0_5", b"", b" ", b"\x0b5",
    b"5\x0b", b"5\x00", b"\x005", b"5\x0c", b'"5"', b"\xd9\xa5", b"five", b"4294967301", b"8589934597",
    b"18446744073709551621", b"99999999999999999999999999", b"\r\n 5", b"5\r\n ", b"5\r\n 0", b"5 5", b"5\r5",
    b"NaN", b"5%", b"5'", b"1e1", b"0b101", b"0o5", b"\xef\xbc\x95",
]  # fmt: skip
"""Values of Content-Length where the body has five bytes."""

SIZES = [
    b"5", b"05", b"0000000000000000005", b"5 ", b" 5", b"5\t", b"\t5", b"0x5", b"+5", b"-5", b"5;x", b"5 ;x",
    b"5; x=y", b'5;x="y"', b'5;x="', b"5;x=\x00", b"5;\x0b", b"5;x\ny", b"5;x\ry", b"5\r", b"5\x00", b"5x",
    b"5,5", b"5.", b"\x0b5", b"", b"5_", b"_5", b"\xd9\xa5", b"10000000000000005", b"100000005",
    b"fffffffffffffffb", b"7fffffffffffffff", b"ffffffffffffffff", b"5;" + b"x" * 300, b"5" + b" " * 300,
]  # fmt: skip
"""Sizes of a chunk of five bytes."""

TAILS = [
    b"0\r\n\r\n", b"0\n\n", b"0\r\n\n", b"0\n\r\n", b"0\r\r", b"00\r\n\r\n", b"0;x\r\n\r\n", b"0 \r\n\r\n",
    b"0x0\r\n\r\n", b"-0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b"0\r\nx: y\n\n", b"0\r\ncontent-length: 7\r\n\r\n",
    b"0\r\ntransfer-encoding: chunked\r\n\r\n", b"0\r\nx: y\r\n z\r\n\r\n", b"0\r\nx\r\n\r\n",
    b"0\r\n: y\r\n\r\n", b"0\r\nx : y\r\n\r\n", b"0\r\nhost: other\r\n\r\n", b"0\r\nx: \x00\r\n\r\n",
    b"0\r\n", b"\r\n0\r\n\r\n", b"0\r\n\r\r\n", b"0\r\n\x00\r\n", b"0\r\n \r\n\r\n",
]  # fmt: skip
"""Ends of a chunked body."""

LINES = [
    b"POST %s HTTP/1.1", b"POST %s HTTP/1.0", b"POST %s HTTP/1.2", b"POST %s HTTP/1.01",
    b"POST %s HTTP/01.1", b"POST %s HTTP/2.0", b"POST %s http/1.1", b"POST %s HTTP/1.1 ",
    b"POST %s  HTTP/1.1", b"POST  %s HTTP/1.1",
    b"POST\t%s\tHTTP/1.1", b" POST %s HTTP/1.1", b"POST %s HTTP/1.1\x00", b"POST %s HTTP/1.1 x", b"POST %s",
    b"post %s HTTP/1.1", b"PO\x00ST %s HTTP/1.1", b"PO\x0bST %s HTTP/1.1", b"POST\x0b%s HTTP/1.1",
    b"POST:%s HTTP/1.1", b"POST %s\x00 HTTP/1.1", b"POST %s\x0b HTTP/1.1", b"POST %s\x85 HTTP/1.1",
    b"POST %s#x HTTP/1.1", b"POST %s?x y HTTP/1.1", b"POST %s HTTP/1.1 HTTP/1.1", b"POST %s\tx HTTP/1.1",
    b"POST %s/../x HTTP/1.1", b"POST /%s HTTP/1.1", b"POST %s/%%2e%%2e/x HTTP/1.1", b"POST %s\\x HTTP/1.1",
    b"POST %s/%%00 HTTP/1.1", b"POST %s/%%0d%%0a HTTP/1.1", b"POST %s;x HTTP/1.1", b"POST %s/%% HTTP/1.1",
    b"POST http://cart%s HTTP/1.1", b"POST http://other%s HTTP/1.1", b"POST HTTP://cart%s HTTP/1.1",
    b"POST https://cart%s HTTP/1.1", b"POST ftp://cart%s HTTP/1.1", b"POST http:%s HTTP/1.1",
    b"POST //cart%s HTTP/1.1", b"POST http://user@cart%s HTTP/1.1", b"POST http://cart:1%s HTTP/1.1",
    b"POST http://%s HTTP/1.1", b"POST cart%s HTTP/1.1", b"POST * HTTP/1.1\r\nx: %s", b"POST ?%s HTTP/1.1",
    b"POST %s HTTP/1.1\n", b"POST %s HTTP/1.1\r", b"POST %s HTTP/1.1\r\n ", b"\r\nPOST %s HTTP/1.1",
    b"\nPOST %s HTTP/1.1", b"\r\n\r\n\r\nPOST %s HTTP/1.1", b"\x00POST %s HTTP/1.1", b"\rPOST %s HTTP/1.1",
]  # fmt: skip
"""Request lines."""

METHODS = [
    b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PUT", b"PATCH", b"PROPFIND", b"PURGE",
    b"BREW", b"M-SEARCH", b"QUERY", b"get", b"Get", b"GET'", b"G!T",
]  # fmt: skip

HEADERS = [
    b"x: a\r\n b", b"x: a\r\n\tb", b"x:\r\n b", b"x: a\r\n \r\ny: b", b"x: a\nb: c", b"x: a\rb", b"x: a\x00b",
    b"x: \x01", b"x: \x7f", b"x: \xff", b"x : a", b"x\t: a", b" x: a", b"x", b": a", b":", b"x\x00y: a",
    b"x(y): a", b"x/y: a", b'x"y: a', b"x\xc3\xbc: a", b"x: a\r\r", b"x: a\n", b"host: other", b"host: cart",
    b"Host : other", b"host:", b"connection: close", b"connection: content-length", b"connection: host",
    b"connection: transfer-encoding", b"connection: keep-alive, x", b"keep-alive: timeout=1, max=1",
    b"proxy-connection: close", b"expect: 100-continue", b"expect: 100-continue, x", b"expect: x",
    b"upgrade: websocket\r\nconnection: upgrade", b"te: trailers", b"trailer: content-length",
    b"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__",
    b"content-length: 0", b"Content-Length: 5", b"content-length : 0", b"content_length: 0",
    b"content-length\x00: 0", b"x: y\ncontent-length: 0", b"x: y\r\n content-length: 0",
    b"content-encoding: gzip", b"max-forwards: 0", b"x-http-method-override: DELETE", b"x-original-url: /x",
    b"x: " + b"a" * 5000,
]  # fmt: skip
"""Beside `content-length: 5` and five bytes."""


@dataclass(frozen=True, slots=True)
class Vector:
    """Some bytes.

    Attributes:
        number: its place in the list.
        kind: of what it is made.
        data: to be sent as they are.
    """

    number: int
    kind: str
    data: bytes


def vectors() -> list[Vector]:
    """All of them."""
    found: list[Vector] = []
    for kind, made in _made():
        path = b"/v%d" % len(found)
        found.append(Vector(len(found), kind, made.replace(b"/vN", path)))
    return found


INNER = b"GET /vN/inner HTTP/1.1\r\n" + HOST + b"\r\n"
BODY = b"abcde"


def _made() -> Iterator[tuple[str, bytes]]:
    """Kind and bytes of each; ``/vN`` stands where its number will."""
    post = b"POST /vN HTTP/1.1\r\n" + HOST
    chunks = b"5\r\n" + BODY + b"\r\n" + END
    for coding in CODINGS:
        for version in (b"1.1", b"1.0"):
            for length in (None, 0, 3, len(chunks)):
                more = b"" if length is None else b"content-length: %d\r\n" % length
                head = b"POST /vN HTTP/%b\r\n" % version + HOST + more
                yield "coding", head + b"transfer-encoding: " + coding + b"\r\n\r\n" + chunks + INNER
        yield (
            "coding",
            post + b"transfer-encoding: " + coding + b"\r\ncontent-length: 0\r\n\r\n" + END + INNER,
        )
        two = b"transfer-encoding: chunked\r\ntransfer-encoding: " + coding
        yield "two codings", post + two + b"\r\n\r\n" + chunks + INNER
    for name in NAMES:
        for more in (b"", b"content-length: 0\r\n", b"content-length: 3\r\n"):
            yield "name", post + more + name + b": chunked\r\n\r\n" + chunks + INNER
    for value in LENGTHS:
        yield "length", post + b"content-length: " + value + b"\r\n\r\n" + BODY + INNER
        for one, other in ((b"5", value), (value, b"5"), (b"0", value)):
            both = b"content-length: " + one + b"\r\ncontent-length: " + other
            yield "two lengths", post + both + b"\r\n\r\n" + BODY + INNER
    coded = post + b"transfer-encoding: chunked\r\n\r\n"
    for size in SIZES:
        for newline in (b"\r\n", b"\n", b"\r"):
            yield "chunk", coded + size + newline + BODY + b"\r\n" + END + INNER
    for after in (b"\n", b"\r", b"", b"\r\n\r\n", b"x\r\n", b" \r\n", b"\x00\r\n"):
        yield "chunk", coded + b"5\r\n" + BODY + after + END + INNER
    for tail in TAILS:
        yield "tail", coded + b"5\r\n" + BODY + b"\r\n" + tail + INNER
        yield "tail", coded + tail + INNER
    for line in LINES:
        yield "line", line.replace(b"%s", b"/vN").replace(b"%%", b"%") + b"\r\n" + HOST + b"\r\n" + INNER
        rest = b"content-length: 5\r\n\r\n" + BODY + INNER
        yield "line", line.replace(b"%s", b"/vN").replace(b"%%", b"%") + b"\r\n" + HOST + rest
    for method in METHODS:
        head = method + b" /vN HTTP/1.1\r\n" + HOST
        yield "method", head + b"\r\n" + INNER
        yield "method", head + b"content-length: 5\r\n\r\n" + BODY + INNER
        yield "method", head + b"content-length: %d\r\n\r\n" % len(INNER) + INNER
        yield "method", head + b"transfer-encoding: chunked\r\n\r\n" + chunks + INNER
    for header in HEADERS:
        length = b"content-length: 5\r\n"
        yield "header", post + header + b"\r\n" + length + b"\r\n" + BODY + INNER
        yield "header", post + length + header + b"\r\n\r\n" + BODY + INNER
        yield "header", post + b"transfer-encoding: chunked\r\n" + header + b"\r\n\r\n" + chunks + INNER
    for data in (post + b"content-length: 5\r\n\r\n" + BODY + INNER, coded + chunks + INNER):
        yield "newline", data.replace(b"\r\n", b"\n")
        yield "newline", data.replace(b"\r\n", b"\r")
        yield "newline", data.replace(b"\r\n", b"\n\r")
        yield "newline", data.replace(b"\r\n\r\n", b"\r\n\n")
        yield "newline", data.replace(b"\r\n\r\n", b"\n\r\n")
        yield "newline", data.replace(b"\r\n\r\n", b"\r\n \r\n")
        yield "newline", data + data + data
        yield "newline", data + b"\r\n\r\n" + data
        yield "newline", data + b"x" + data
