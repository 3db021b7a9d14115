"""Receivers of traces that drip, lie, speak garbage, or want to be asked for ever."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("opentelemetry.proto")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from meshsim.interop.otlp import sender as module
from meshsim.interop.otlp.sender import Sender, Stream, retry_after

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_BASE", 0.01)


@contextlib.contextmanager
def answering(say: Callable[[int], Iterator[bytes]], pause: float = 0.0) -> Iterator[str]:
    """Says something to each who comes, piece by piece, and closes; the URL. `say` gets his number."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(line: socket.socket, number: int) -> None:
        with line, contextlib.suppress(OSError):
            line.settimeout(60.0)
            line.recv(1 << 16)
            for piece in say(number):
                line.sendall(piece)
                time.sleep(pause)

    def listen() -> None:
        for number in itertools.count():
            try:
                line, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(line, number), daemon=True).start()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(60.0)


def drip(number: int) -> Iterator[bytes]:
    yield OK + b"x: "
    yield from itertools.repeat(b"y")


def drip_body(number: int) -> Iterator[bytes]:
    yield OK + b"content-length: 60000\r\n\r\n"
    yield from itertools.repeat(b"y")


def drip_chunks(number: int) -> Iterator[bytes]:
    yield OK + b"transfer-encoding: chunked\r\n\r\n"
    yield from itertools.repeat(b"1\r\ny\r\n")


def go_on(number: int) -> Iterator[bytes]:
    yield from itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n")


@pytest.mark.parametrize("say", [drip, drip_body, drip_chunks, go_on])
def test_an_answer_without_an_end_is_cut_off(
    say: Callable[[int], Iterator[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_LIMIT", 0.2)
    with answering(say, 0.02) as url:
        sender = Sender(url, patience=0.1)
        ended = threading.Event()

        def send() -> None:
            sender.send(ExportTraceServiceRequest(), 7)
            ended.set()

        threading.Thread(target=send, daemon=True).start()
        assert ended.wait(60.0), "it is cut off"
    assert (sender.sent, sender.dropped) == (0, 7)
    assert sender.problems == {"the receiver could not be reached: no answer within 0.2 s": 7}


@pytest.mark.parametrize(
    "said",
    [
        b"\x1b]0;title\x07\x00\xff" * 3000,
        OK + b"x: y\r\n" * 10_000,
        OK + b"x: " + b"y" * 1_000_000,
        OK + b"transfer-encoding: chunked\r\n\r\n-5\r\nabc",
        OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 99999 X\r\n\r\n",
        b"",
    ],
)
def test_what_is_no_http_is_one_short_line_for_the_user(said: bytes) -> None:
    with answering(lambda number: iter([said])) as url:
        sender = Sender(url, patience=0.05)
        sender.send(ExportTraceServiceRequest(), 7)
    assert (sender.sent, sender.dropped) == (0, 7)
    (why,) = sender.problems
    assert len(why) <= module.REASON_CHARACTERS
    assert why.isprintable()


@pytest.mark.parametrize("rejected", [0, 3])
def test_reasons_of_a_receiver_are_bounded_and_can_be_printed(rejected: int) -> None:
    def taken(number: int) -> Iterator[bytes]:
        message = ExportTraceServiceResponse()
        message.partial_success.rejected_spans = rejected
        message.partial_success.error_message = f"\x1b[31m{number}" + "x" * 1000
        body = message.SerializeToString()
        yield OK + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body

    with answering(taken) as url:
        sender = Sender(url)
        for _ in range(module.REASONS + 10):
            sender.send(ExportTraceServiceRequest(), 5)
        sender.close()
    assert sender.rejected == rejected * (module.REASONS + 10)
    assert len(sender.problems) == module.REASONS + 1
    assert sender.problems[module.OTHER_REASONS] == 10 * max(rejected, 1)
    (words,) = sender.report(0.0).words()
    assert ("took all 150 spans, but: the receiver warns" in words) is (rejected == 0)
    assert all(len(why) <= module.REASON_CHARACTERS and why.isprintable() for why in sender.problems)


def test_a_receiver_is_not_asked_without_a_pause_and_not_fewer_times_than_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for said in ("0", "Mon, 01 Jan 0000 00:00:00 GMT", "Sun, 29 Nov 2020 00:00:00 GMT"):
        assert retry_after(said) == module.RETRY_AFTER_MIN, said
    tries = itertools.count()

    class Forever(Sender):
        def _post(self, body: bytes, spans: int) -> tuple[int, float | None, str]:
            return (0 if next(tries) < 3000 else 200), 0.0, "down"

    Forever("http://127.0.0.1:1", float("inf")).send(ExportTraceServiceRequest(), 1)
    assert next(tries) == 3001


def test_what_goes_wrong_with_one_batch_is_told_and_the_next_ones_are_sent() -> None:
    def encode(item: int) -> Iterator[tuple[ExportTraceServiceRequest, int]]:
        yield ExportTraceServiceRequest(), 2
        if item == 1:
            raise ValueError("a surrogate")
        yield ExportTraceServiceRequest(), 3

    with answering(lambda number: iter([OK + b"connection: close\r\ncontent-length: 0\r\n\r\n"])) as url:
        stream = Stream(sender := Sender(url), encode)
        for item in range(3):
            stream.offer(item, 5)
        stream.close(60.0)
    assert (sender.sent, sender.dropped) == (12, 3)
    (why,) = sender.problems
    assert "a surrogate" in why
