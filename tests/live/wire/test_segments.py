"""Laws of reading: how bytes are cut can't matter, no bytes raise, and another reader finds the same."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import h11
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshsim.live.wire import CHUNKED, Limits, request_head
from meshsim.live.wire.framing import FRAMING

sys.path.insert(0, str(Path(__file__).parent))
from ends import Upstream, respond, serve

LIMITS = Limits(head_bytes=400, headers=8)

names = st.sampled_from(
    b"Host|host|Content-Length|Transfer-Encoding|Connection|Upgrade|Expect|X|X-Y|TE|Trailer|Keep-Alive|"
    b"X | X|X\0".split(b"|")
)
values = st.sampled_from(
    b"a|b:80|0|3|5|03|+3|3,3|chunked|Chunked|gzip, chunked|close|keep-alive|upgrade|h2c|websocket|"
    b"100-continue|x, y||a  |\ta|\xe4|a\r\n b|a\nb|a\rb|\0".split(b"|")
)
line_ends = st.sampled_from([*[b"\r\n"] * 8, b"\n", b"\r", b"\r\r\n"])
colons = st.sampled_from([*[b": "] * 5, b":", b":\t", b" : ", b""])
lines = st.builds(lambda *parts: b"".join(parts), names, colons, values, line_ends)
usual = st.sampled_from(
    [*[b"Host: a\r\n"] * 3, b"Host: a\r\nContent-Length: 3\r\n", b"X: " + b"x" * 380 + b"\r\n", b""]
)
chunked = st.just(b"Host: a\r\nTransfer-Encoding: chunked\r\n")
good_requests = b"GET / HTTP/1.1\r\n|POST /a?b HTTP/1.1\r\n|HEAD / HTTP/1.1\r\n".split(b"|")
odd_requests = (
    b"GET / HTTP/1.0\r\n|POST http://b/c HTTP/1.1\r\n|OPTIONS * HTTP/1.1\r\n|GET /\r\n|"
    b"CONNECT a:1 HTTP/1.1\r\n|GET / HTTP/1.2\r\n|GET / RTSP/1.0\r\n|get / HTTP/1.1\r\n|GET  / HTTP/1.1\r\n|"
    b"\r\nGET / HTTP/1.1\r\n|"
    b"\nGET / HTTP/1.1\r\n|GET /\0 HTTP/1.1\r\n|GET / HTTP/1.1\n"
).split(b"|")
request_lines = st.sampled_from(good_requests * 3 + odd_requests)
odd_statuses = (
    b"HTTP/1.0 200 OK\r\n|HTTP/1.1 204 No\r\n|HTTP/1.1 304 No\r\n|HTTP/1.1 100 C\r\n|HTTP/1.1 103 E\r\n|"
    b"HTTP/1.1 101 S\r\n|HTTP/1.1 500\r\n|HTTP/1.1 2 OK\r\n|HTTP/1.1 200 OK\n"
).split(b"|")
status_lines = st.sampled_from([b"HTTP/1.1 200 OK\r\n"] * 5 + odd_statuses)
bodies = st.sampled_from(
    b"|abc|abcde|ab\r\n|3\r\nabc\r\n0\r\n\r\n|0\r\n\r\n|3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n|"
    b"7\r\n\r\n\r\nabc\r\n0\r\n\r\n|"
    b"3\nabc\r\n0\r\n\r\n|ff|3\r\nabcd\r\n0\r\n\r\n|0\r\n\r\n\r\n|ffffffffffffffffff\r\n".split(b"|")
)


def messages(first: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Streams of a few messages, most of them almost valid."""
    fields = st.one_of(st.lists(lines, max_size=3).map(b"".join), st.just(b""), st.just(b""))
    one = st.builds(
        lambda *parts: b"".join(parts), first, st.one_of(usual, chunked), fields, st.just(b"\r\n"), bodies
    )
    return st.lists(one, min_size=1, max_size=3).map(b"".join)


def cut(raw: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes in segments."""
    places = [0, *sorted(place % (len(raw) + 1) for place in cuts), len(raw)]
    return [raw[a:b] for a, b in pairwise(places)]


def served(segments: list[bytes]) -> tuple[Any, ...]:
    """What a server made of them: whole requests, refusals, everything sent."""
    server, transport = serve(*segments, limits=LIMITS)
    transport.end()
    assert server.open == 0
    assert all(served.whole or served.lost for served in server.served)
    return server.requests(), [status for status, _ in server.refusals], transport.sent


@given(messages(request_lines), st.lists(st.integers(0, 2000), max_size=6))
@settings(max_examples=400, deadline=None)
@example(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 390 + b"\r\n\r\n", [100, 380, 410])
@example(
    b"PUT / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost:a\r\n\r\n",
    [60, 61],
)
def test_requests_do_not_depend_on_segments(raw: bytes, cuts: list[int]) -> None:
    whole = served([raw])
    assert served(cut(raw, cuts)) == whole
    assert served([raw[i : i + 1] for i in range(len(raw))]) == whole


@given(messages(status_lines), st.lists(st.integers(0, 2000), max_size=6), st.sampled_from([b"GET", b"HEAD"]))
@settings(max_examples=400, deadline=None)
def test_responses_do_not_depend_on_segments(raw: bytes, cuts: list[int], method: bytes) -> None:
    """Of a response that is lost, the head may have been told, if it came alone."""

    def outcome(segments: list[bytes]) -> tuple[Any, ...]:
        waiter, upstream = respond(*segments, method=method, limits=LIMITS, end=True)
        assert waiter.done or waiter.kind
        assert not upstream.connection.reusable
        head, data, done, kind, infos, _ = waiter.outcome()
        return (head, data) if done else (), done, kind, infos

    whole = outcome([raw])
    assert outcome(cut(raw, cuts)) == whole
    assert outcome([raw[i : i + 1] for i in range(len(raw))]) == whole


@given(st.lists(st.binary(max_size=40), max_size=5))
@settings(max_examples=300, deadline=None)
def test_no_bytes_raise(segments: list[bytes]) -> None:
    served(segments)
    upstream = Upstream(LIMITS)
    upstream.ask()
    upstream.transport.feed(segments)
    upstream.transport.end()


def by_h11(raw: bytes) -> list[tuple[Any, ...]]:
    """The requests that h11 finds, until it finds no more."""
    found: list[tuple[Any, ...]] = []
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(raw)
    body = b""
    head: h11.Request | None = None
    while True:
        try:
            event = parser.next_event()
        except (h11.ProtocolError, NotImplementedError):
            return found
        if isinstance(event, h11.Request):
            head, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            headers = [(bytes(name), bytes(value)) for name, value in head.headers]
            named = {n.strip() for name, v in headers if name == b"connection" for n in v.lower().split(b",")}
            kept = [(name, value) for name, value in headers if name not in FRAMING and name not in named]
            found.append((bytes(head.method), bytes(head.target), kept, body))
            if parser.our_state is not h11.SEND_RESPONSE or parser.their_state is h11.MIGHT_SWITCH_PROTOCOL:
                return found
            parser.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
            parser.send(h11.EndOfMessage())
            if parser.our_state is not h11.DONE:
                return found
            if parser.their_state is h11.DONE:
                parser.start_next_cycle()
        else:
            return found


@given(messages(request_lines))
@settings(max_examples=600, deadline=None)
def test_h11_reads_the_same_requests(raw: bytes) -> None:
    """What both accept must be the same, from the first request on, as far as both go."""
    ours = [(method, target, headers, data) for method, target, _, _, headers, _, data in served([raw])[0]]
    theirs = by_h11(raw)
    for mine, other in zip(ours, theirs, strict=False):
        assert mine == other


@given(messages(request_lines))
@settings(max_examples=300, deadline=None)
def test_what_is_passed_on_is_read_as_it_was_meant(raw: bytes) -> None:
    """A request that is written anew means the same to another reader, and nothing is left over."""
    server, _ = serve(raw, limits=LIMITS)
    for served in server.served:
        head = served.head
        if not served.whole:
            continue
        upstream = Upstream()
        written = request_head(head.method, head.path, head.host or b"a", head.headers, head.length)
        chunks = head.length == CHUNKED
        upstream.connection.request(_nobody, written, served.data, True, head.method, chunked=chunks)
        assert by_h11(upstream.transport.sent) == [(head.method, head.path, head.headers, served.data)]


_nobody = Upstream().ask()
