"""The life of a serving connection: persistence, pipelining, streaming, back-pressure, time, ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from meshsim.live.wire import CHUNKED, UNTIL_CLOSE, Limits, ServerConnection

sys.path.insert(0, str(Path(__file__).parent))
from ends import Loop, Served, Transport, serve, status_of

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


def loop_of(transport: Transport) -> Loop:
    loop = transport.protocol.loop
    assert isinstance(loop, Loop)
    return loop


# Persistence


def test_a_connection_serves_one_request_after_the_other() -> None:
    server, transport = serve(GET % 1, GET % 2, POST % 3 + b"abc", GET % 3)
    assert [served.head.path for served in server.served] == [b"/1", b"/2", b"/", b"/3"]
    assert transport.sent.count(b"HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 1\r\n\r\n") == 4
    assert not transport.half_closed
    assert b"connection" not in transport.sent


@pytest.mark.parametrize(
    ("version", "header", "keeps", "says"),
    [
        (b"1.1", b"", True, b""),
        (b"1.1", b"Connection: close\r\n", False, b"connection: close\r\n"),
        (b"1.1", b"Connection: foo, CLOSE\r\n", False, b"connection: close\r\n"),
        (b"1.1", b"Connection: keep-alive\r\n", True, b""),
        (b"1.0", b"", False, b"connection: close\r\n"),
        (b"1.0", b"Connection: keep-alive\r\n", True, b"connection: keep-alive\r\n"),
    ],
)
def test_who_keeps_the_connection(version: bytes, header: bytes, keeps: bool, says: bytes) -> None:
    server, transport = serve(b"GET / HTTP/" + version + b"\r\nHost: a\r\n" + header + b"\r\n" + GET % 2)
    assert len(server.served) == 1 + keeps
    assert transport.sent.startswith(b"HTTP/1.1 200 OK\r\nx-a: b\r\n" + says + b"content-length: 1\r\n\r\n0")
    assert transport.half_closed != keeps


def test_close_waits_for_the_answer_and_says_so() -> None:
    server, transport = serve(GET % 1, answers=False)
    connection = server.served[0].connection
    connection.close()
    assert not transport.half_closed
    connection.answer(200, [], b"ok")
    assert b"connection: close" in transport.sent
    assert transport.half_closed


def test_close_of_an_idle_connection_is_at_once() -> None:
    _, transport = serve()
    transport.protocol.close()
    assert transport.half_closed
    transport.protocol.close()
    assert transport.sent == b""


# Pipelining


def test_pipelined_requests_wait_for_their_turn() -> None:
    server, transport = serve(GET % 1 + POST % 3 + b"abc" + GET % 2, answers=False)
    assert len(server.served) == 1
    server.served[0].connection.answer(200, [], b"one")
    assert [served.head.path for served in server.served] == [b"/1", b"/"]
    assert server.served[1].data == b"abc"
    server.served[1].connection.answer(200, [], b"two")
    server.served[2].connection.answer(200, [], b"three")
    assert [part[-5:] for part in transport.sent.split(b"HTTP/1.1")[1:]] == [b"\r\none", b"\r\ntwo", b"three"]


def test_pipelined_input_is_bounded() -> None:
    limits = Limits(head_bytes=200)
    server, transport = serve(GET % 1, *[GET % n for n in range(2, 20)], answers=False, limits=limits)
    assert transport.paused
    connection = server.served[0].connection
    assert isinstance(connection, ServerConnection)
    while connection.due:
        connection.answer(200, [], b"")
    assert len(server.served) == 19
    assert not transport.paused


def test_pipelined_requests_wait_while_the_client_does_not_take_its_answers() -> None:
    server, transport = serve()
    transport.protocol.pause_writing()
    transport.feed([GET % 1 + GET % 2, GET % 3])
    assert server.served == []
    transport.protocol.resume_writing()
    assert len(server.served) == 3


def test_hundreds_of_pipelined_requests_are_no_recursion() -> None:
    server, _ = serve(b"".join(GET % n for n in range(2000)))
    assert len(server.served) == 2000


# Answers


@pytest.mark.parametrize(
    ("method", "status", "length", "says", "body"),
    [
        (b"GET", 200, None, b"content-length: 2\r\n", b"ok"),
        (b"GET", 200, 99, b"content-length: 2\r\n", b"ok"),
        (b"HEAD", 200, None, b"content-length: 2\r\n", b""),
        (b"HEAD", 200, 99, b"content-length: 99\r\n", b""),
        (b"HEAD", 200, CHUNKED, b"", b""),
        (b"HEAD", 200, UNTIL_CLOSE, b"", b""),
        (b"GET", 304, 99, b"content-length: 99\r\n", b""),
        (b"GET", 304, UNTIL_CLOSE, b"", b""),
        (b"GET", 204, None, b"", b""),
        (b"GET", 204, 0, b"", b""),
        (b"GET", 599, None, b"content-length: 2\r\n", b"ok"),
    ],
)
def test_whole_answers(method: bytes, status: int, length: int | None, says: bytes, body: bytes) -> None:
    server, transport = serve(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n", answers=False)
    server.served[0].connection.answer(status, [], b"ok", length)
    line, rest = transport.sent.split(b"\r\n", 1)
    assert line.startswith(b"HTTP/1.1 %d " % status)
    assert rest == says + b"\r\n" + body
    transport.feed([GET % 2])
    assert len(server.served) == 2


@pytest.mark.parametrize(
    ("request_line", "status", "length", "says", "body", "keeps"),
    [
        (b"GET / HTTP/1.1", 200, 4, b"content-length: 4\r\n", b"abcd", True),
        (
            b"GET / HTTP/1.1",
            200,
            CHUNKED,
            b"transfer-encoding: chunked\r\n",
            b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n",
            True,
        ),
        (
            b"GET / HTTP/1.1",
            200,
            UNTIL_CLOSE,
            b"transfer-encoding: chunked\r\n",
            b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n",
            True,
        ),
        (b"GET / HTTP/1.0", 200, CHUNKED, b"connection: close\r\n", b"abcd", False),
        (b"HEAD / HTTP/1.1", 200, 4, b"content-length: 4\r\n", b"", True),
        (b"HEAD / HTTP/1.1", 200, CHUNKED, b"", b"", True),
        (b"GET / HTTP/1.1", 204, CHUNKED, b"", b"", True),
        (b"GET / HTTP/1.1", 304, 4, b"content-length: 4\r\n", b"", True),
    ],
)
def test_streamed_answers(
    request_line: bytes, status: int, length: int, says: bytes, body: bytes, keeps: bool
) -> None:
    server, transport = serve(request_line + b"\r\nHost: a\r\n\r\n", answers=False)
    connection = server.served[0].connection
    connection.start(status, [], length)
    for part in (b"ab", b"", b"cd"):
        connection.send(part)
    connection.end()
    assert transport.sent.split(b"\r\n", 1)[1] == says + b"\r\n" + body
    assert transport.half_closed != keeps


def test_an_answer_to_http_1_0_that_keeps_alive_and_has_no_length_closes() -> None:
    server, transport = serve(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", answers=False)
    server.served[0].connection.start(200, [], CHUNKED)
    assert b"connection: close" in transport.sent


def test_an_answer_before_the_body_is_whole_ends_the_connection() -> None:
    server, transport = serve(POST % 10 + b"abc", answers=False)
    server.served[0].connection.answer(413, [], b"")
    assert b"connection: close" in transport.sent
    assert transport.half_closed
    transport.feed([b"defghij" + GET % 2])
    assert len(server.served) == 1
    assert server.served[0].data == b"abc"


def test_a_streamed_answer_may_overtake_its_request() -> None:
    server, transport = serve(POST % 6 + b"abc", answers=False)
    connection = server.served[0].connection
    connection.start(200, [], CHUNKED)
    connection.send(b"x")
    transport.feed([b"def"])
    assert server.served[0].whole
    connection.end()
    assert not transport.half_closed


def test_answers_to_nobody_are_dropped() -> None:
    server, transport = serve(GET % 1, answers=False)
    connection = server.served[0].connection
    transport.end()
    assert server.served[0].lost
    assert server.open == 0
    connection.answer(200, [], b"late")
    connection.start(200, [], 3)
    connection.send(b"abc")
    connection.end()
    connection.proceed()
    connection.flow(False)
    connection.flow(True)
    connection.abort()
    connection.close()
    assert transport.sent == b""


# 100-continue


def test_proceed_answers_a_client_that_waits() -> None:
    server, transport = serve(POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n") % 3)
    assert server.served[0].head.expects
    server.served[0].connection.proceed()
    server.served[0].connection.proceed()
    assert transport.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    transport.feed([b"abc"])
    assert status_of(transport.sent) == 200


@pytest.mark.parametrize(
    "raw", [POST % 3, POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n") % 3 + b"a"]
)
def test_proceed_is_silent_where_nobody_waits(raw: bytes) -> None:
    server, transport = serve(raw)
    server.served[0].connection.proceed()
    assert transport.sent == b""


# Back-pressure


def test_hold_stops_reading_and_the_next_request_is_read_again() -> None:
    server, transport = serve(POST % 6 + b"abc", answers=False)
    connection = server.served[0].connection
    connection.flow(False)
    connection.flow(False)
    assert transport.paused
    connection.flow(True)
    assert not transport.paused
    connection.flow(False)
    transport.protocol.data_received(b"def")  # was already on its way
    connection.answer(200, [], b"")
    assert not transport.paused


def test_who_answers_is_told_when_to_stop() -> None:
    server, transport = serve(GET % 1, answers=False)
    transport.protocol.pause_writing()
    transport.protocol.resume_writing()
    assert server.served[0].may_write == [False, True]


def test_who_answers_at_once_is_told_too() -> None:
    class Big(Served):
        pass

    server, transport = serve(answers=False)

    def begin(connection: Any, head: Any, body: bytes, whole: bool) -> Served:
        served = Big(connection, head, body, whole)
        server.served.append(served)
        connection.start(200, [], CHUNKED)
        transport.protocol.pause_writing()
        return served

    server.begin = begin  # type: ignore[method-assign]
    transport.feed([GET % 1])
    assert server.served[0].may_write == [False]


# Time


def test_a_slow_head_is_answered_408() -> None:
    server, transport = serve(b"GET / HTTP/1.1\r\n")
    loop = loop_of(transport)
    for _ in range(9):
        loop.pass_time(1.0)
        transport.feed([b"X: y\r\n"])
    assert server.refusals == []
    loop.pass_time(1.0)
    assert status_of(transport.sent) == 408
    assert transport.half_closed


def test_a_slow_second_head_is_answered_408_too() -> None:
    server, transport = serve(GET % 1)
    loop = loop_of(transport)
    loop.pass_time(3000.0)
    transport.feed([b"G"])
    loop.pass_time(9.9)
    assert server.refusals == []
    loop.pass_time(0.2)
    assert [status for status, _ in server.refusals] == [408]


def test_a_request_that_is_served_has_all_the_time_in_the_world() -> None:
    server, transport = serve(b"GET / HTTP/1.1\r\n", b"Host: a\r\n\r\n", answers=False)
    loop_of(transport).pass_time(1e5)
    assert not transport.closing
    server.served[0].connection.answer(200, [], b"")
    loop_of(transport).pass_time(3599.0)
    assert not transport.closing
    loop_of(transport).pass_time(1.1)
    assert transport.closing
    assert transport.sent.count(b"HTTP") == 1


@pytest.mark.parametrize("blocked", [False, True])
def test_an_idle_connection_is_closed(blocked: bool) -> None:
    server, transport = serve()
    if blocked:
        transport.protocol.pause_writing()
    loop_of(transport).pass_time(3601.0)
    assert transport.closing
    assert transport.aborted == blocked
    transport.settle()
    assert server.open == 0
    assert loop_of(transport).pending() == []


def test_a_closing_connection_waits_for_the_client_but_not_for_long() -> None:
    _, transport = serve(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert transport.half_closed
    assert not transport.closing
    transport.feed([b"x" * 100])
    loop_of(transport).pass_time(1.1)
    assert transport.closing
    assert not transport.aborted


def test_a_closing_connection_goes_on_sending_while_the_client_takes_it() -> None:
    server, transport = serve(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", answers=False)
    transport.unsent = 10_000
    server.served[0].connection.answer(200, [], b"x" * 10_000)
    for unsent in (8000, 6000, 10):
        loop_of(transport).pass_time(1.1)
        assert not transport.closing
        transport.unsent = unsent
    loop_of(transport).pass_time(2.2)
    assert transport.aborted


def test_where_half_closing_is_impossible_the_transport_closes() -> None:
    _, transport = serve(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", eof=False)
    assert transport.closing
    assert transport.lost


# Ends


@pytest.mark.parametrize("started", [False, True])
def test_abort_resets_and_tells_nobody(started: bool) -> None:
    server, transport = serve(GET % 1, answers=False)
    connection = server.served[0].connection
    if started:
        connection.start(200, [], 10)
    connection.abort()
    assert transport.reset
    assert transport.aborted
    transport.settle()
    assert not server.served[0].lost
    assert server.open == 0


def test_a_truncated_body_is_no_request() -> None:
    server, transport = serve(POST % 10 + b"abc")
    transport.end()
    assert server.requests() == []
    assert server.served[0].lost
    assert transport.sent == b""


def test_a_broken_body_after_the_answer_began_resets() -> None:
    server, transport = serve(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n", answers=False
    )
    server.served[0].connection.start(200, [], CHUNKED)
    transport.feed([b"xyz"])
    assert server.served[0].lost
    assert transport.reset
    assert [status for status, _ in server.refusals] == [400]


def test_a_refusal_after_head_has_a_body_again() -> None:
    _, transport = serve(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"nonsense\r\n\r\n")
    assert transport.sent.endswith(b"content-length: 11\r\n\r\nBad Request")


def test_an_ended_connection_knows_its_parser_no_more() -> None:
    _, transport = serve(GET % 1)
    transport.end()
    assert transport.protocol.parser is None
    assert loop_of(transport).pending() == []


# Requests in which nothing moves


def stalled_after(seconds: float, *segments: bytes) -> int:
    """How often a request has been told that nothing moves, under a limit of 10 s."""
    server, transport = serve(*segments, answers=False, limits=Limits(stream_idle_timeout=10.0))
    loop_of(transport).pass_time(seconds)
    return server.served[0].stalls


@pytest.mark.parametrize("request_", [GET % 1, POST % 3, POST % 3 + b"a"])
def test_a_request_in_which_nothing_moves_is_told_so(request_: bytes) -> None:
    assert stalled_after(9.9, request_) == 0
    assert stalled_after(10.1, request_) == 1
    assert stalled_after(20.1, request_) == 2  # which did not have to end it


def test_what_moves_a_request() -> None:
    server, transport = serve(POST % 100, answers=False, limits=Limits(stream_idle_timeout=10.0))
    (served,) = server.served
    loop = loop_of(transport)
    moves = [
        lambda: transport.feed([b"a"]),
        lambda: served.connection.start(200, [], CHUNKED),
        lambda: served.connection.send(b"b"),
    ]
    for move in moves:
        loop.pass_time(9.0)
        move()
    loop.pass_time(9.0)
    assert served.stalls == 0
    loop.pass_time(2.0)
    assert served.stalls == 1


@pytest.mark.parametrize("idle", [0.0, 9.0, 11.0, 25.0])
def test_the_limit_is_exact_whatever_was_before(idle: float) -> None:
    """One timer a connection serves all its limits."""
    server, transport = serve(answers=False, limits=Limits(stream_idle_timeout=10.0, idle_timeout=30.0))
    loop = loop_of(transport)
    loop.pass_time(idle)
    transport.feed([GET % 1])
    loop.pass_time(9.99)
    assert server.served[0].stalls == 0
    loop.pass_time(0.02)
    assert server.served[0].stalls == 1
    server.served[0].connection.answer(200, [], b"")
    loop.pass_time(29.98)
    assert not transport.closing
    loop.pass_time(0.04)
    assert transport.closing


@pytest.mark.parametrize("busy", [1.0, 2.5, 200.0])
def test_a_connection_may_be_idle_for_less_long_than_a_request_may_stall(busy: float) -> None:
    server, transport = serve(answers=False, limits=Limits(stream_idle_timeout=300.0, idle_timeout=2.0))
    loop = loop_of(transport)
    transport.feed([GET % 1])
    loop.pass_time(busy)
    server.served[0].connection.answer(200, [], b"")
    loop.pass_time(1.99)
    assert not transport.closing
    loop.pass_time(0.02)
    assert transport.closing
