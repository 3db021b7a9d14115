"""The requesting side: what responses may look like, and the life of a connection to an upstream."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from meshsim.live.wire import CHUNKED, CLOSED, GARBAGE, UNTIL_CLOSE, Limits, request_head

sys.path.insert(0, str(Path(__file__).parent))
from ends import Upstream, Waiter, respond

OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = OK + b"Content-Length: 2\r\n\r\nok"

GARBLED = [
    b"HTTP/1.1  200 OK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 000 OK\r\n\r\n",
    b"HTTP/1.1 099 OK\r\n\r\n",
    b"HTTP/1.1 200OK\r\n\r\n",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"RTSP/1.0 200 OK\r\n\r\n",
    b"ICY 200 OK\r\n\r\n",
    b"\r\n" + WHOLE,
    b"HTTP/1.1 200 O\x00K\r\n\r\n",
    b"HTTP/1.1 200 O\x1bK\r\n\r\n",
    b"HTTP/1.1 200 O\rK\r\n\r\n",
    b"HTTP/1.1 200 OK\n\n",
    OK + b"A: b\nC: d\r\n\r\n",
    OK + b"A: b\rC: d\r\n\r\n",
    OK + b"A: b\r\n c\r\n\r\n",
    OK + b"A : b\r\n\r\n",
    OK + b"A: \x00\r\n\r\n",
    OK + b": b\r\n\r\n",
    OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    OK + b"Content-Length: 2,2\r\n\r\nok",
    OK + b"Content-Length: -2\r\n\r\nok",
    OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: gzip\r\n\r\nxyz",
    OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok0\r\n\r\n",
    OK + b"A: b\r\n" * 101 + b"\r\n",
    OK + b"A: " + b"b" * 70_000,
    b"HTTP/1.1 100 Continue\r\n\r\n" * 17 + WHOLE,
    b"\x15\x03\x03\x00\x02\x02\x16",
    b"nonsense\r\n\r\n",
]


@pytest.mark.parametrize("raw", GARBLED, ids=range(len(GARBLED)))
def test_garbage_loses_the_response_and_the_connection(raw: bytes) -> None:
    for segments in ([raw], [raw[:-1], raw[-1:]], [raw[i : i + 5] for i in range(0, len(raw), 5)]):
        waiter, upstream = respond(*segments)
        assert waiter.calls[-1:] == ["lost"]
        assert waiter.kind == GARBAGE
        assert upstream.transport.reset
        assert upstream.idle_losses == 0


@pytest.mark.parametrize(
    ("method", "raw", "length", "body", "reusable"),
    [
        (b"GET", WHOLE, 2, b"ok", True),
        (b"GET", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 0, b"", True),
        (b"GET", b"HTTP/1.1 200 \r\nContent-Length:  2  \r\n\r\nok", 2, b"ok", True),
        (b"GET", b"HTTP/1.1 200 \xc3\xa4\r\nContent-Length: 2\r\n\r\nok", 2, b"ok", True),
        (
            b"GET",
            OK + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\nT: u\r\n\r\n",
            CHUNKED,
            b"ok",
            True,
        ),
        (b"GET", OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", 2, b"ok", False),
        (b"GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 2, b"ok", False),
        (b"GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 2, b"ok", True),
        (b"HEAD", OK + b"Content-Length: 2\r\n\r\n", 2, b"", True),
        (b"HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n", CHUNKED, b"", True),
        (b"HEAD", OK + b"\r\n", UNTIL_CLOSE, b"", True),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", 0, b"", True),
        (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", 0, b"", True),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", 2, b"", True),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", UNTIL_CLOSE, b"", True),
        (b"GET", b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nA: b\r\n\r\n" + WHOLE, 2, b"ok", True),
        (b"GET", OK + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok", 2, b"ok", True),
    ],
)
def test_responses(method: bytes, raw: bytes, length: int, body: bytes, reusable: bool) -> None:
    for size in (1, 3, 1000):
        waiter, upstream = respond(*[raw[i : i + size] for i in range(0, len(raw), size)], method=method)
        assert waiter.done
        assert waiter.response is not None
        assert (waiter.response.length, waiter.data) == (length, body)
        assert waiter.reusable == reusable
        assert upstream.connection.answering
        assert upstream.transport.closing != reusable
        assert upstream.idle_losses == 0
        if size == 1000:
            assert waiter.calls == ["whole"]
        if reusable:
            again = upstream.ask()
            upstream.transport.feed([WHOLE])
            assert again.data == b"ok"
            assert again.response is not None
            assert again.response.headers == []


def test_a_body_until_close() -> None:
    waiter, upstream = respond(OK + b"A: b\r\n\r\nsome", b"more", end=True)
    assert waiter.calls == ["head", "complete"]
    assert waiter.response is not None
    assert waiter.response.length == UNTIL_CLOSE
    assert waiter.data == b"somemore"
    assert not upstream.connection.reusable


def test_a_body_until_a_reset_is_lost() -> None:
    waiter, upstream = respond(OK + b"\r\nsome")
    upstream.transport.end(ConnectionResetError("reset by peer"))
    assert waiter.kind == GARBAGE, "a response that breaks off is a protocol error, as Envoy has it"
    assert upstream.connection.answering


@pytest.mark.parametrize(
    ("raw", "answering"),
    [
        (b"", False),
        (b"HTTP/1.1 200", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
        (OK + b"Content-Length: 5\r\n\r\nabc", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", True),
    ],
)
def test_a_response_that_ends_early_is_lost(raw: bytes, answering: bool) -> None:
    waiter, upstream = respond(raw, end=True)
    begun = raw != b"" and b"100 Continue" not in raw
    assert waiter.kind == (GARBAGE if begun else CLOSED)
    assert upstream.connection.answering == answering


@pytest.mark.parametrize("more", [b"x", WHOLE, b"\r\n"])
def test_bytes_after_a_response_close_the_connection(more: bytes) -> None:
    """They could be the answer to somebody else: response splitting, or a body that nobody expects."""
    waiter, upstream = respond(WHOLE + more)
    assert waiter.data == b"ok"
    assert not waiter.reusable
    assert upstream.transport.closing
    waiter, upstream = respond(WHOLE, more)
    assert waiter.reusable
    assert not upstream.connection.reusable
    assert upstream.idle_losses == 1
    assert upstream.transport.closing


def test_the_body_of_an_answer_to_head_is_garbage() -> None:
    waiter, upstream = respond(WHOLE, method=b"HEAD")
    assert waiter.data == b""
    assert not waiter.reusable
    assert upstream.transport.closing


def test_an_idle_connection_that_ends_is_told_once() -> None:
    upstream = Upstream()
    assert upstream.connection.reusable
    upstream.transport.end()
    assert upstream.idle_losses == 1
    waiter = upstream.ask()
    assert waiter.kind == CLOSED
    assert not upstream.connection.answering


@pytest.mark.parametrize("how", ["close", "abort"])
def test_who_closes_hears_nothing_more(how: str) -> None:
    waiter, upstream = respond(OK + b"Content-Length: 5\r\n\r\nabc")
    getattr(upstream.connection, how)()
    getattr(upstream.connection, how)()
    upstream.transport.settle()
    assert waiter.calls == ["head"]
    assert upstream.idle_losses == 0
    assert upstream.transport.reset == (how == "abort")


def test_who_closes_at_the_head_hears_nothing_of_the_body() -> None:
    class Closing(Waiter):
        def head(self, connection, head):  # type: ignore[no-untyped-def]
            super().head(connection, head)
            connection.abort()

    for raw in (OK + b"Content-Length: 5\r\n\r\nabc", OK + b"\r\nabc"):
        upstream = Upstream()
        waiter = Closing()
        upstream.connection.request(waiter, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"", True, b"GET")
        upstream.transport.feed([raw, b"de"])
        assert waiter.calls == ["head"]


def test_the_next_request_may_be_made_at_once() -> None:
    class Again(Waiter):
        following: Waiter | None = None

        def whole(self, connection, head, body):  # type: ignore[no-untyped-def]
            super().whole(connection, head, body)
            self.following = Waiter()
            connection.request(self.following, b"GET /2 HTTP/1.1\r\nhost: a\r\n\r\n", b"", True, b"GET")

    upstream = Upstream()
    waiter = Again()
    upstream.connection.request(waiter, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"", True, b"GET")
    upstream.transport.feed([WHOLE, WHOLE])
    assert waiter.following is not None
    assert waiter.following.data == b"ok"


# Requests


def test_bodies_of_requests() -> None:
    upstream = Upstream()
    head = request_head(b"POST", b"/", b"a", [(b"x", b"y")], 4)
    assert head == b"POST / HTTP/1.1\r\nhost: a\r\nx: y\r\ncontent-length: 4\r\n\r\n"
    upstream.connection.request(Waiter(), head, b"ab", False, b"POST")
    upstream.connection.send(b"cd")
    upstream.connection.end()
    upstream.connection.send(b"ef")
    assert upstream.transport.sent == head + b"abcd"


def test_chunked_bodies_of_requests() -> None:
    upstream = Upstream()
    head = request_head(b"POST", b"/", b"a", [], CHUNKED)
    assert head == b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    upstream.connection.request(Waiter(), head, b"ab", False, b"POST", chunked=True)
    upstream.connection.send(b"")
    upstream.connection.send(b"c" * 16)
    upstream.connection.end()
    upstream.connection.end()
    assert upstream.transport.sent == head + b"2\r\nab\r\n10\r\n" + b"c" * 16 + b"\r\n0\r\n\r\n"


def test_whole_chunked_bodies_are_one_write() -> None:
    upstream = Upstream()
    upstream.connection.request(Waiter(), b"", b"ab", True, b"POST", chunked=True)
    assert upstream.transport.sent == b"2\r\nab\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "length", "says"),
    [
        (b"GET", 0, b""),
        (b"DELETE", 0, b""),
        (b"POST", 0, b"content-length: 0\r\n"),
        (b"PUT", 0, b"content-length: 0\r\n"),
        (b"GET", 3, b"content-length: 3\r\n"),
    ],
)
def test_a_length_of_nothing_is_told_where_a_body_is_expected(
    method: bytes, length: int, says: bytes
) -> None:
    """Source: RFC 9110, 8.6."""
    assert (
        request_head(method, b"/", b"a", [], length)
        == method + b" / HTTP/1.1\r\nhost: a\r\n" + says + b"\r\n"
    )


def test_a_response_before_the_request_is_whole_ends_the_connection() -> None:
    upstream = Upstream()
    waiter = Waiter()
    upstream.connection.request(waiter, request_head(b"POST", b"/", b"a", [], 4), b"ab", False, b"POST")
    upstream.transport.feed([WHOLE])
    assert waiter.done
    assert not waiter.reusable
    upstream.connection.send(b"cd")
    upstream.connection.end()
    assert upstream.transport.sent.endswith(b"ab")


def test_back_pressure_both_ways() -> None:
    waiter, upstream = respond(OK + b"Content-Length: 5\r\n\r\na")
    upstream.connection.flow(False)
    upstream.connection.flow(False)
    assert upstream.transport.paused
    upstream.connection.flow(True)
    upstream.connection.flow(True)
    assert not upstream.transport.paused
    upstream.connection.flow(False)
    upstream.connection.pause_writing()
    upstream.connection.resume_writing()
    assert waiter.calls == ["head", "writable False", "writable True"]
    waiter.calls = ["head"]
    upstream.connection.data_received(b"bcde")  # was already on its way
    assert waiter.data == b"abcde"
    assert not upstream.transport.paused


def test_much_beside_the_data_of_chunks_is_garbage() -> None:
    start = OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    waiter, _ = respond(start, *[b"X: y\r\n" * 20] * 20, limits=Limits(head_bytes=1000))
    assert waiter.kind == GARBAGE


@pytest.mark.parametrize("trailer", [b"Connection: close", b"Transfer-Encoding: chunked", b"Upgrade: x"])
def test_trailers_of_a_response_say_nothing_of_the_next(trailer: bytes) -> None:
    """Whose request that is has nothing to do with it."""
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + trailer + b"\r\n\r\n"
    first, upstream = respond(raw)
    assert first.done
    assert first.reusable
    second = upstream.ask()
    upstream.transport.feed([raw])
    assert second.done
    assert second.data == b"abc"
