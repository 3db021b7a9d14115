"""One request through the proxy: what its downstream sends, its call, and the answer on its way back.

To the downstream's connection it is the stream that is being served; to the call it is the owner. What it
adds to what the mesh decides is bytes: the request's body, kept as long as it may have to be sent again, and
the response's, passed on as it comes.

| its call | body of the request | body of the response |
|---|---|---|
| begins with the head, its time-outs with the end | sent on as it comes; kept up to `REPLAY_BYTES` | - |
| is answered | the rest is not read | passed on as it comes, under the route's time-out |
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from meshsim.live.context import Context
from meshsim.live.wire import ServerConnection, ServerStream
from meshsim.mesh.call import Call, Owner
from meshsim.mesh.clock import Event
from meshsim.mesh.route import Request
from meshsim.policies.outcome import (
    DC,
    FI,
    NO_FLAG,
    NR,
    RL,
    UC,
    UF,
    UH,
    UO,
    UPE,
    URX,
    UT,
    add_flag,
    flag_names,
)

if TYPE_CHECKING:
    from meshsim.live.proxy.delivery import ProxyDelivery
    from meshsim.live.proxy.listener import Listener
    from meshsim.live.proxy.way import Way
    from meshsim.live.wire import RequestHead

REPLAY_BYTES = 1 << 20
"""What is kept of a request's body: beyond it there is no retry.
Envoy's `per_connection_buffer_limit_bytes`."""

PLAIN = [(b"content-type", b"text/plain")]

BEFORE, AFTER = "upstream_reset_before_response_started", "upstream_reset_after_response_started"
WORDS = {
    UH: (b"no healthy upstream", "no_healthy_upstream"),
    UF: (b"upstream connect error: connection failure", f"{BEFORE}{{connection_failure}}"),
    UC: (b"upstream connect error: connection termination", f"{BEFORE}{{connection_termination}}"),
    UO: (b"upstream connect error: overflow", f"{BEFORE}{{overflow}}"),
    UPE: (b"upstream protocol error", f"{BEFORE}{{protocol_error}}"),
    UT: (b"upstream request timeout", "response_timeout"),
    RL: (b"local_rate_limited", "local_rate_limited"),
    FI: (b"fault filter abort", "fault_filter_abort"),
    NR: (b"no route", "route_not_found"),
}  # fmt: skip
"""What a proxy says when it answers by itself, by the flag that ended the call; and Envoy's details."""


class Exchange(Owner):
    """One request.

    Attributes:
        head: of the request.
        chunks: its body, as far as it may be needed.
        whole: whether the body has come to its end.
        upstream: who takes the body as it comes.
        heard: whose response is being judged.
        streaming: whose response is being passed on.
        sent, received: bytes of the bodies.
    """

    def __init__(
        self, listener: Listener, way: Way, connection: ServerConnection, head: RequestHead, context: Context,
        trace: int, span: int,
    ) -> None:  # fmt: skip
        self.span = span
        self.listener = listener
        self.way = way
        self.connection = connection
        self.head = head
        self.context = context
        self.trace = trace
        self.chunks: list[bytes] = []
        self.size = 0
        self.spilled = False
        self.whole = False
        self.over = False
        self.upstream: ProxyDelivery | None = None
        self.heard: ProxyDelivery | None = None
        self.streaming: ProxyDelivery | None = None
        self.host = ""
        self.status = 0
        self.flags = NO_FLAG
        self.details = "via_upstream"
        self.received = 0
        self.sent = 0
        self.attempts = 0
        self.replica = -1
        self.row = -1
        self.begun = listener.clock.now()
        self.wall = time.time()
        self.first_byte = -1.0
        self.call: Call | None = None

    def begin(self, body: bytes, whole: bool) -> None:
        """Makes the call."""
        context = self.context
        request = Request(
            -1, self.trace & 0xFFFFFFFFFFFFFFFF, context.start, context.priority, context.sampled
        )
        call = Call(self.way.route, self, request, context.key, context.extra, self.begun)
        self.call = call
        self.row = call.row
        self.whole = whole
        if body:
            self.chunks.append(body)
            self.size = self.received = len(body)
        if not whole:
            call.uploading = True
            call.replayable = False
            if self.head.expects:
                self.connection.proceed()
        call.begin(self.begun)

    # ---- what the downstream's connection tells -------------------------------------------------------

    def body(self, data: bytes) -> None:
        """More of the request's body."""
        if self.over or self.streaming is not None:
            return
        self.received += len(data)
        if not self.spilled:
            self.chunks.append(data)
            self.size += len(data)
        if self.upstream is not None:
            self.upstream.send(data)
            self.spill()
        elif self.size > REPLAY_BYTES:
            self.connection.hold()

    def spill(self) -> None:
        """Forgets a body that is too long to be sent again."""
        if self.size > REPLAY_BYTES and not self.spilled:
            self.spilled = True
            self.chunks = []

    def complete(self) -> None:
        """The request is whole."""
        self.whole = True
        if self.over or self.call is None:
            return
        if self.upstream is not None:
            self.upstream.finish()
            self.upstream = None
        self.call.replayable = not self.spilled
        self.call.uploaded(self.listener.clock.now())

    def writable(self, yes: bool) -> None:
        """Whether the downstream takes more of the response."""
        if self.streaming is not None:
            self.streaming.flow(yes)

    def gone(self) -> None:
        """The downstream has gone before its answer was whole."""
        if self.over:
            return
        now = self.listener.clock.now()
        self.flags = add_flag(self.flags, DC)
        self.details = "downstream_remote_disconnect"
        streaming, self.streaming = self.streaming, None
        if streaming is not None:
            streaming.cut(now)
        elif self.call is not None:
            self.attempts = self.call.sent
            self.call.cancel(now)
            self.status = 0
        self.finish(now)

    # ---- what its call tells --------------------------------------------------------------------------

    def answered(self, call: Call, now: float) -> None:
        self.status = call.status
        self.flags = call.flags
        self.attempts = call.sent
        heard = self.heard
        if heard is None:
            self.reply(call, now)
            return
        self.replica = heard.attempt.host_sent().replica
        self.first_byte = now
        head = heard.answer
        assert head is not None, "a response is heard by its head"
        if heard.answer_whole:
            self.sent = len(heard.answer_body)
            self.connection.answer(head.status, head.headers, heard.answer_body, head.length)
            self.finish(now)
            return
        self.streaming = heard
        self.connection.start(head.status, head.headers, head.length)
        if call.policy.timeouts is not None:
            self.listener.clock.at(call.due, Deadline(self), 0)

    def reply(self, call: Call, now: float) -> None:
        """The proxy answers by itself."""
        flags = self.flags
        while flags & 31 == URX:
            flags >>= 5
        words, self.details = WORDS.get(flags & 31, (b"", "direct_response"))
        headers = [*PLAIN, (b"x-envoy-overloaded", b"true")] if flags & 31 == UO else PLAIN
        self.sent = len(words)
        self.connection.answer(self.status, headers, words)
        self.finish(now)

    # ---- the response, as it comes ----------------------------------------------------------------------

    def pass_on(self, data: bytes) -> None:
        """More of the response's body."""
        self.sent += len(data)
        self.connection.send(data)

    def passed(self, now: float) -> None:
        """The response is whole."""
        self.streaming = None
        self.connection.end()
        self.finish(now)

    def cut_off(self, flag: int, now: float) -> None:
        """The response ends before it is whole: so does the downstream's connection."""
        self.streaming = None
        self.flags = add_flag(self.flags, flag)
        reasons = {UC: "connection_termination", UPE: "protocol_error"}
        reason = reasons.get(flag)
        self.details = f"{AFTER}{{{reason}}}" if reason else "response_timeout"
        self.over = True  # the connection, as it ends, has nothing to tell
        self.connection.abort()
        self.over = False
        self.finish(now)

    # ---- the end ----------------------------------------------------------------------------------------

    def finish(self, now: float) -> None:
        """Counts it, and writes it down."""
        self.over = True
        self.upstream = None
        self.call = None
        self.chunks = []
        way, status = self.way, self.status
        lasted = now - self.begun
        flags = flag_names(self.flags)
        way.series.count(status, flags, lasted, self.received, self.sent)
        self.tally(lasted)
        listener = self.listener
        if listener.ledger is not None:
            listener.ledger.exchange(self, now)
        if listener.log is not None:
            self.log(flags, lasted)

    def tally(self, lasted: float) -> None:
        """Counts it for the live table."""
        passed, policy = self.way.passed, self.way.route.policy
        passed.answered(self.status or 499, lasted)
        passed.attempts += self.attempts
        more = self.attempts - 1
        if more > 0:
            if policy.hedge.limit > 0 and not policy.retries:
                passed.hedges += more
            else:
                passed.retries += more

    def log(self, flags: str, lasted: float) -> None:
        """Writes its line of the access log."""
        head, log = self.head, self.listener.log
        assert log is not None, "there is a log"
        log.write(
            self.wall, head.method, head.path, head.minor, self.status, flags, self.details, self.received,
            self.sent, lasted, None if self.first_byte < 0.0 else self.first_byte - self.begun,
            head.get(b"x-forwarded-for"), head.get(b"user-agent"), head.get(b"x-request-id"), head.host,
            self.host, self.way.service, self.way.service, self.attempts,
        )  # fmt: skip


class Deadline(Event):
    """The route's time-out, while a response is being passed on."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def fire(self, step: int, now: float) -> None:
        streaming = self.exchange.streaming
        if streaming is not None:
            streaming.cut(now)
            self.exchange.cut_off(UT, now)


class Lost(ServerStream):
    """A request that has been answered at once: there is nothing more to hear of it."""

    __slots__ = ()


LOST = Lost()
