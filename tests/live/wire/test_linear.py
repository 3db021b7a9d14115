"""The cost of reading is linear in the bytes, whatever they are: pieces and steps are counted, not time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from meshsim.live.wire import client, server
from meshsim.live.wire.framing import drop_named
from meshsim.live.wire.heads import Headers

sys.path.insert(0, str(Path(__file__).parent))
from ends import respond, serve

ALPHABET = b"\r\n ;:01"
"""What means something in the framing of chunks and trailers."""
SIZE = 960
SEGMENT = 256
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"


def patterns() -> Iterator[bytes]:
    """Every byte, and every two, three and four bytes of the alphabet."""
    yield from (bytes([byte]) for byte in range(256))
    for length in (2, 3, 4):
        yield from (bytes(each) for each in product(ALPHABET, repeat=length))


def bodies(pattern: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """The pattern over and over, wherever a body may hold it; and what comes out, where that is sure."""
    filling = (pattern * SIZE)[:SIZE]
    yield b"content-length: %d\r\n\r\n" % SIZE + filling, filling
    yield CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (SIZE, filling), filling
    yield CHUNKED + filling, None
    yield CHUNKED + b"1;" + filling + b"\r\nx\r\n0\r\n\r\n", None
    yield CHUNKED + b"0\r\n" + filling + b"\r\n\r\n", None


def segments(raw: bytes) -> list[bytes]:
    return [raw[i : i + SEGMENT] for i in range(0, len(raw), SEGMENT)]


class Fed:
    """Counts what any parser is fed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pieces = self.bytes = 0
        counter = self

        def counting(made: Any) -> Any:
            class Parser:
                def __init__(self, owner: Any) -> None:
                    self.inner = made(owner)

                def feed_data(self, data: bytes) -> None:
                    counter.pieces += 1
                    counter.bytes += len(data)
                    self.inner.feed_data(data)

            return Parser

        monkeypatch.setattr(server, "HttpRequestParser", counting(server.HttpRequestParser))
        monkeypatch.setattr(client, "HttpResponseParser", counting(client.HttpResponseParser))

    def check(self, raw: bytes, pieces: int) -> None:
        """At most one piece a segment, and one more for the head; no byte twice."""
        assert self.pieces <= pieces + 1, raw
        assert self.bytes <= len(raw), raw
        self.pieces = self.bytes = 0


def test_each_segment_of_a_body_is_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the pattern looks like the end of a message, as of chunks full of CRLF CRLF."""
    fed = Fed(monkeypatch)
    for pattern in patterns():
        for body, data in bodies(pattern):
            cut = segments(POST + body)
            served, _ = serve(*cut)
            fed.check(POST + body, len(cut))
            cut = segments(OK + body)
            waiter, _ = respond(*cut)
            fed.check(OK + body, len(cut))
            if data is not None:
                assert served.served[0].whole
                assert waiter.done
                assert served.served[0].data == waiter.data == data


@pytest.mark.parametrize("unit", [b"1\r\nx\r\n", b"1;a=b\r\nx\r\n", b"00001\r\nx\r\n"])
def test_tiny_chunks_take_a_few_steps_each(unit: bytes) -> None:
    """Calls that Python sees, of readers that run from their sources: compiled ones make none."""

    def calls(count: int) -> int:
        found = 0

        def count_call(frame: Any, event: str, argument: Any) -> None:
            nonlocal found
            found += event in ("call", "c_call")

        raw = POST + CHUNKED + unit * count + b"0\r\n\r\n"
        before = sys.getprofile()
        sys.setprofile(count_call)
        try:
            served, _ = serve(raw)
        finally:
            sys.setprofile(before)
        assert served.served[0].data == b"x" * count
        return found

    assert calls(4000) - calls(2000) <= 2 * (calls(2000) - calls(1000)) + 10


def test_many_requests_in_one_segment_are_not_copied_for_each() -> None:
    segment = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 300
    served, _ = serve(segment, answers=False)
    for number in range(299):
        connection = served.served[number].connection
        assert connection.rest is segment
        connection.answer(200, [], b"")
    assert len(served.served) == 300
    assert connection.rest == b""


def test_thousands_of_named_headers_are_looked_up_once_each() -> None:
    class Name(bytes):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Name.compared += 1
            return super().__eq__(other)

        __hash__ = bytes.__hash__

    headers: Headers = [(Name(b"x%d" % number), b"") for number in range(100)]
    drop_named(headers, [b"y%d" % number for number in range(10_000)] + [b"x7"])
    assert len(headers) == 99
    assert Name.compared < 1000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"0\r\n" + b"a: b\r\n" * 100 + b"\r\n", 200),
        (b"0\r\n" + b"a: b\r\n" * 101 + b"\r\n", 431),
        (b"0\r\na: " + b"b" * 70_000 + b"\r\n\r\n", 431),
        (b"1;a=" + b"b" * 70_000 + b"\r\nx\r\n0\r\n\r\n", 431),
        (b"1;a=" + b"b" * 50_000 + b"\r\nx\r\n1;a=" + b"b" * 50_000 + b"\r\nx\r\n0\r\n\r\n", 200),
        (b"0" * 16 + b"\r\n\r\n", 400),
        (b"1 \r\nx\r\n0\r\n\r\n", 400),
        (b"1;a\nb\r\nx\r\n0\r\n\r\n", 400),
        (b"1;a\x00\r\nx\r\n0\r\n\r\n", 400),
        (b"1\r\nxx\r\n0\r\n\r\n", 400),
        (b"1\nx\r\n0\r\n\r\n", 400),
        (b"\r\n0\r\n\r\n", 400),
        (b"\xff\r\n", 400),
        (b"0\r\na: \nb\r\n\r\n", 400),
        (b"0\r\na\r\n\r\n", 400),
    ],
)
def test_what_stands_beside_the_data_of_chunks(body: bytes, status: int) -> None:
    """The same answer, in one piece and byte by byte."""
    raw = POST + CHUNKED + body
    for cut in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        _, transport = serve(*cut)
        assert transport.sent.startswith(b"HTTP/1.1 %d " % status)
    waiter, _ = respond(OK + CHUNKED + body)
    assert waiter.done == (status == 200)
