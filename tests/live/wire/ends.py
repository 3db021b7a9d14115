"""The two ends of a connection without a socket: a loop whose time stands still, a transport, a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from meshsim.live.wire import (
    ClientConnection,
    Handler,
    Limits,
    Reply,
    RequestHead,
    ResponseHead,
    ServerConnection,
    ServerStream,
)


class Timer:
    def __init__(self, when: float, call: Callable[[], None]):
        self.when = when
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """As much of an event loop as a connection uses."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> Timer:
        timer = Timer(when, call)
        self.timers.append(timer)
        return timer

    def pending(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.pending() if timer.when <= end]:
            timer = min(due, key=lambda timer: timer.when)
            timer.cancelled = True
            self.now = max(self.now, timer.when)
            timer.call()
        self.now = end


class Transport:
    """Keeps what is written; loses its connection when told to, or by `settle`, as a loop would do it."""

    def __init__(self, protocol: Any, eof: bool = True):
        self.protocol = protocol
        self.sent = b""
        self.paused = self.closing = self.aborted = self.reset = self.half_closed = self.lost = False
        self.unsent = 0
        self.eof = eof
        protocol.connection_made(self)

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("127.0.0.1", 4321), "socket": self}.get(name)

    def setsockopt(self, *_: Any) -> None:
        self.reset = True

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: bytes) -> None:
        assert type(data) is bytes
        assert not self.half_closed
        assert not self.closing
        self.sent += data

    def can_write_eof(self) -> bool:
        return self.eof

    def write_eof(self) -> None:
        self.half_closed = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def settle(self) -> None:
        if self.closing and not self.lost:
            self.lost = True
            self.protocol.connection_lost(None)

    def feed(self, segments: Iterable[bytes]) -> None:
        for segment in segments:
            if not self.closing and segment:
                self.protocol.data_received(segment)
        self.settle()

    def end(self, error: Exception | None = None) -> None:
        """The peer closes."""
        if not self.lost:
            if error is None:
                assert not self.protocol.eof_received()
            self.closing = self.lost = True
            self.protocol.connection_lost(error)


class Served(ServerStream):
    """A request as its server saw it."""

    def __init__(self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool):
        self.connection = connection
        self.head = head
        self.data = body
        self.whole = whole
        self.lost = False
        self.stalls = 0
        self.may_write: list[bool] = []

    def body(self, data: bytes) -> None:
        assert data
        assert not self.whole
        assert not self.lost
        self.data += data

    def complete(self) -> None:
        assert not self.whole
        assert not self.lost
        self.whole = True
        self.connection.handler.answer(self)  # type: ignore[attr-defined]

    def gone(self) -> None:
        assert not self.lost
        self.lost = True

    def broken(self, status: int, why: str) -> None:
        self.gone()
        self.connection.handler.refused(self.connection, status, why)

    def stalled(self) -> None:
        self.stalls += 1

    def writable(self, yes: bool) -> None:
        self.may_write.append(yes)


class Server(Handler):
    """Answers each request, once it is whole, with the number of its bytes; or leaves it to the test."""

    def __init__(self, answers: bool = True):
        self.answers = answers
        self.served: list[Served] = []
        self.refusals: list[tuple[int, str]] = []
        self.open = 0

    def begin(self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool) -> Served:
        served = Served(connection, head, body, whole)
        self.served.append(served)
        if whole:
            self.answer(served)
        return served

    def answer(self, served: Served) -> None:
        if self.answers:
            served.connection.answer(200, [(b"x-a", b"b")], b"%d" % len(served.data))

    def refused(self, connection: ServerConnection, status: int, why: str) -> None:
        assert why
        self.refusals.append((status, why))

    def opened(self, connection: ServerConnection) -> None:
        self.open += 1

    def closed(self, connection: ServerConnection) -> None:
        self.open -= 1

    def requests(self) -> list[tuple[Any, ...]]:
        """What was served, to compare."""
        return [
            (s.head.method, s.head.target, s.head.path, s.head.host, s.head.headers, s.head.length, s.data)
            for s in self.served
            if s.whole
        ]


def serve(
    *segments: bytes, answers: bool = True, limits: Limits | None = None, eof: bool = True
) -> tuple[Server, Transport]:
    """A connection that gets these segments."""
    server = Server(answers)
    connection = ServerConnection(server, limits or Limits(), Loop())  # type: ignore[arg-type]
    transport = Transport(connection, eof)
    transport.feed(segments)
    return server, transport


class Waiter(Reply):
    """Writes down what it is told of a response."""

    def __init__(self) -> None:
        self.response: ResponseHead | None = None
        self.data = b""
        self.calls: list[str] = []
        self.kind = 0
        self.why = ""
        self.infos: list[int] = []
        self.reusable = False

    @property
    def done(self) -> bool:
        return "whole" in self.calls or "complete" in self.calls

    def whole(self, connection: ClientConnection, head: ResponseHead, body: bytes) -> None:
        assert not self.calls
        self.calls.append("whole")
        self.response = head
        self.data = body
        self.reusable = connection.reusable

    def head(self, connection: ClientConnection, head: ResponseHead) -> None:
        assert not self.calls
        self.calls.append("head")
        self.response = head

    def body(self, data: bytes) -> None:
        assert data
        assert self.calls == ["head"]
        self.data += data

    def complete(self, connection: ClientConnection) -> None:
        assert self.calls == ["head"]
        self.calls.append("complete")
        self.reusable = connection.reusable

    def informed(self, status: int) -> None:
        assert not self.calls
        self.infos.append(status)

    def lost(self, connection: ClientConnection, kind: int, why: str) -> None:
        assert not self.done
        assert why
        self.calls.append("lost")
        self.kind = kind
        self.why = why
        assert connection.answering == (self.response is not None)
        assert not connection.reusable

    def writable(self, yes: bool) -> None:
        self.calls.append(f"writable {yes}")

    def outcome(self) -> tuple[Any, ...]:
        """What came, to compare: not in how many pieces."""
        head = self.response
        said = (head.status, head.headers, head.length) if head else None
        return said, self.data, self.done, self.kind, self.infos, self.reusable


class Upstream:
    """A client's connection and what it loses while idle."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.idle_losses = 0
        self.connection = ClientConnection(self._lose, limits or Limits())
        self.transport = Transport(self.connection)

    def _lose(self, connection: ClientConnection) -> None:
        assert connection is self.connection
        self.idle_losses += 1

    def ask(self, method: bytes = b"GET") -> Waiter:
        waiter = Waiter()
        self.connection.request(waiter, b"%b / HTTP/1.1\r\nhost: a\r\n\r\n" % method, b"", True, method)
        return waiter


def respond(
    *segments: bytes, method: bytes = b"GET", limits: Limits | None = None, end: bool = False
) -> tuple[Waiter, Upstream]:
    """A request, and an upstream that sends these segments."""
    upstream = Upstream(limits)
    waiter = upstream.ask(method)
    upstream.transport.feed(segments)
    if end:
        upstream.transport.end()
    return waiter, upstream


def status_of(sent: bytes) -> int:
    """Of the last answer in what was sent."""
    return int(sent[sent.rindex(b"HTTP/1.1 ") + 9 :][:3])
