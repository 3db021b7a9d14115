"""What a request may look like, and what becomes of one that does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from meshsim.live.wire import CHUNKED, Limits

sys.path.insert(0, str(Path(__file__).parent))
from ends import serve, status_of

START = b"GET / HTTP/1.1\r\n"
GET = START + b"Host: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKS = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = [
    # the first line
    (b"GET /\r\n\r\n", 400),
    (b"GET\r\n\r\n", 400),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/11\r\nHost: a\r\n\r\n", 400),
    (b"GET / RTSP/1.0\r\nHost: a\r\n\r\n", 400),
    (b"SOURCE / ICE/1.0\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00", 400),  # the beginning of TLS
    # the method
    (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    # the target
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    # Host
    (START + b"\r\n", 400),
    (START + b"Host:\r\n\r\n", 400),
    (START + b"Host: a\r\nHost: a\r\n\r\n", 400),
    (START + b"Host: a\r\nhost: b\r\n\r\n", 400),
    (START + b"Host: a, b\r\n\r\n", 400),
    (START + b"Host: a/b\r\n\r\n", 400),
    (START + b"Host: u@a\r\n\r\n", 400),
    (START + b"Host: a:b\r\n\r\n", 400),
    (b"GET http://b/ HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    # lines
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    (GET + b"X: a\nY: b\r\n\r\n", 400),
    (GET + b"X: a\rY: b\r\n\r\n", 400),
    (GET + b"X: a\r\r\n\r\n", 400),
    (GET + b"X: a\r\n folded\r\n\r\n", 400),
    (GET + b"X:\r\n\tfolded\r\n\r\n", 400),
    (START + b" Host: a\r\n\r\n", 400),
    (GET + b"X: \x00\r\n\r\n", 400),
    (GET + b"X: \x1b[0m\r\n\r\n", 400),
    (GET + b"X: \x7f\r\n\r\n", 400),
    (GET + b"X\x00: a\r\n\r\n", 400),
    # names
    (GET + b"X : a\r\n\r\n", 400),
    (GET + b"X\t: a\r\n\r\n", 400),
    (GET + b": a\r\n\r\n", 400),
    (GET + b"X\r\n\r\n", 400),
    (GET + b"X(y): a\r\n\r\n", 400),
    (GET + b"\xc3\xa4: a\r\n\r\n", 400),
    # length
    (POST + b"Content-Length: +1\r\n\r\na", 400),
    (POST + b"Content-Length: -1\r\n\r\na", 400),
    (POST + b"Content-Length: 1 1\r\n\r\na", 400),
    (POST + b"Content-Length: 0x1\r\n\r\na", 400),
    (POST + b"Content-Length: 1,1\r\n\r\na", 400),
    (POST + b"Content-Length: 1.0\r\n\r\na", 400),
    (POST + b"Content-Length: \xb2\r\n\r\na", 400),
    (POST + b"Content-Length:\r\n\r\na", 400),
    (POST + b"Content-Length: 99999999999999999999\r\n\r\na", 400),
    (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    (POST + b"Content-Length: 1\r\ncontent-length: 2\r\n\r\na", 400),
    (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 501),
    (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    (POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    # chunks
    (CHUNKS + b"\r\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b"g\r\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b"+5\r\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b"-5\r\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b" 5\r\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b"5 \r\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b"5_0\r\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b"5\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b"5\rhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b"5\r\nhello\n0\r\n\r\n", 400),
    (CHUNKS + b"5\r\nhello0\r\n\r\n", 400),
    (CHUNKS + b"5\r\nhello!\r\n0\r\n\r\n", 400),
    (CHUNKS + b"5\r\nhello\r\n0\n\n", 400),
    (CHUNKS + b"5\r\nhello\r\n0\r\n\n", 400),
    (CHUNKS + b"10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b"5;\x00\r\nhello\r\n0\r\n\r\n", 400),
    (CHUNKS + b'5;a="\n"\r\nhello\r\n0\r\n\r\n', 400),
    (CHUNKS + b"0\r\nX: a\nY: b\r\n\r\n", 400),
    (CHUNKS + b"0\r\n X: a\r\n\r\n", 400),
    (CHUNKS + b"0\r\nContent-Length: 3\r\n\r\n", 400),
    (CHUNKS + b"0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    # expectations and upgrades
    (POST + b"Expect: tea\r\nContent-Length: 1\r\n\r\na", 417),
    (GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", 403),
    (GET + b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", 403),
    (GET + b"Connection: upgrade\r\nUpgrade: h2c, websocket\r\n\r\n", 403),
    # size
    (GET + b"X: y\r\n" * 100 + b"\r\n", 431),
    (GET + b"X: " + b"y" * 70_000 + b"\r\n\r\n", 431),
    (b"GET /" + b"a" * 70_000, 431),
]


@pytest.mark.parametrize(("raw", "status"), REFUSED, ids=range(len(REFUSED)))
def test_malformed_requests_are_refused_and_the_connection_closed(raw: bytes, status: int) -> None:
    for segments in ([raw], [raw[:-1], raw[-1:]], [raw[i : i + 7] for i in range(0, len(raw), 7)]):
        server, transport = serve(*segments, GET + b"\r\n")  # what follows is read by nobody
        assert [status for status, _ in server.refusals] == [status]
        assert server.requests() == []
        assert all(served.lost for served in server.served)
        assert status_of(transport.sent) == status
        assert transport.sent.count(b"HTTP/1.1") == 1
        assert b"\r\nconnection: close\r\n" in transport.sent
        assert transport.half_closed


@pytest.mark.parametrize(
    ("raw", "path", "host"),
    [
        (GET + b"\r\n", b"/", b"a"),
        (b"\r\n" + GET + b"\r\n", b"/", b"a"),
        (b"GET /a?b=c%20d HTTP/1.1\r\nHost: A.Example:80\r\n\r\n", b"/a?b=c%20d", b"a.example:80"),
        (b'GET /"<>[]{}|\\^` HTTP/1.1\r\nHost: [::1]:80\r\n\r\n', b'/"<>[]{}|\\^`', b"[::1]:80"),
        (b"GET http://B:8/x?y HTTP/1.1\r\nHost: a\r\n\r\n", b"/x?y", b"b:8"),
        (b"GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n", b"/", b"b"),
        (b"GET http://b?y HTTP/1.1\r\nHost: a\r\n\r\n", b"/?y", b"b"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"*", b"a"),
        (b"GET / HTTP/1.0\r\n\r\n", b"/", b""),
        (b"GET http://b/ HTTP/1.0\r\n\r\n", b"/", b"b"),
        (b"GET / HTTP/1.1\r\nHost: a  \t\r\n\r\n", b"/", b"a"),
    ],
)
def test_targets_are_brought_into_origin_form(raw: bytes, path: bytes, host: bytes) -> None:
    server, transport = serve(raw)
    assert server.refusals == []
    assert [(served.head.path, served.head.host) for served in server.served] == [(path, host)]
    assert status_of(transport.sent) == 200


def test_headers_of_the_hop_are_kept_out() -> None:
    raw = (
        b"POST / HTTP/1.1\r\nHost: a\r\nX-One:  1 \t\r\nEmpty:\r\nConnection: x-named, keep-alive\r\n"
        b"Keep-Alive: 5\r\nProxy-Connection: a\r\nTE: trailers\r\nTrailer: x\r\nX-Named: n\r\n"
        b"Proxy-Authorization: b\r\nContent-Length: 3\r\nX-ONE: 2\r\nExpect: 100-Continue\r\n\r\nabc"
    )
    server, _ = serve(raw)
    assert server.served[0].head.headers == [(b"x-one", b"1"), (b"empty", b""), (b"x-one", b"2")]
    assert server.served[0].head.get(b"x-one") == b"1"
    assert server.served[0].head.get(b"te") == b""
    assert server.served[0].data == b"abc"


@pytest.mark.parametrize("length", [0, 5])
def test_an_upgrade_to_h2c_is_ignored(length: int) -> None:
    raw = POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nX: y\r\n"
    raw += b"Content-Length: %d\r\n\r\n" % length + b"hello"[:length]
    server, transport = serve(raw, raw)
    assert [(served.data, served.head.headers) for served in server.served] == [
        (b"hello"[:length], [(b"x", b"y")]),
        (b"hello"[:length], [(b"x", b"y")]),
    ]
    assert transport.sent.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    ("chunks", "body"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b'5;a=b;c="d e"\r\nhello\r\n00\r\n\r\n', b"hello"),
        (b"A\r\n0\r\n\r\n\r\n\r\n0\r\n1\r\n\r\r\n0\r\n\r\n", b"0\r\n\r\n\r\n\r\n0\r"),
        (b"00005\r\nhello\r\n5\r\nworld\r\n0\r\nTrailer: x\r\nOther:\r\n\r\n", b"helloworld"),
        (b"0\r\n\r\n", b""),
    ],
)
def test_chunks_come_as_their_body_and_without_trailers(chunks: bytes, body: bytes) -> None:
    for size in (1, 2, 3, 5, 1000):
        raw = CHUNKS + chunks + GET + b"\r\n"
        server, _ = serve(*[raw[i : i + size] for i in range(0, len(raw), size)])
        assert [(served.head.length, served.data, served.whole) for served in server.served] == [
            (CHUNKED, body, True),
            (0, b"", True),
        ]
        assert server.served[0].head.headers == []


def test_much_beside_the_data_of_chunks_is_refused() -> None:
    limits = Limits(head_bytes=1000)
    for junk in (b"1;" + b"a" * 2000, b"0\r\n" + b"X: y\r\n" * 400):
        server, transport = serve(
            CHUNKS, *[junk[i : i + 100] for i in range(0, len(junk), 100)], limits=limits
        )
        assert [status for status, _ in server.refusals] == [431]
        assert server.served[0].lost
        assert transport.half_closed
        error = transport.protocol.chunks.error
        assert error.__traceback__ is None, "it would hold the connection and what came, as a circle"


def test_a_hundred_headers_are_allowed() -> None:
    server, _ = serve(GET + b"X: y\r\n" * 99 + b"\r\n")
    assert len(server.served[0].head.headers) == 99


def test_a_head_of_many_spaces_is_read_in_linear_time() -> None:
    """Back-tracking would take minutes here."""
    server, _ = serve(GET + b"X:" + b" " * 60_000 + b"\x01\r\n\r\n", GET)
    assert server.refusals[0][0] == 400
    server, _ = serve(b"GET http://" + b"a" * 60_000 + b"@ HTTP/1.1\r\nHost: " + b"a" * 300 + b"@\r\n\r\n")
    assert server.refusals[0][0] == 400


@pytest.mark.parametrize("trailer", [b"Connection: close", b"Connection: upgrade", b"Upgrade: x"])
def test_trailers_say_nothing_of_what_follows(trailer: bytes) -> None:
    """No reader heeds them, so none may refuse what comes after."""
    raw = CHUNKS + b"3\r\nabc\r\n0\r\n" + trailer + b"\r\n\r\n"
    server, transport = serve(raw, GET + b"\r\n", raw, GET + b"\r\n")
    assert server.refusals == []
    assert [served.data for served in server.served] == [b"abc", b"", b"abc", b""]
    assert transport.sent.count(b"HTTP/1.1 200") == 4
