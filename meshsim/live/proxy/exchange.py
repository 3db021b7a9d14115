"""One request through the proxy: what its downstream sends, its call, and the answer on its way back.

To the downstream's connection it is the stream that is being served; to the call it is the owner. What it
adds to what the mesh decides is bytes: the request's body, kept as long as it may have to be sent again, and
the response's, passed on as it comes.

| its call | body of the request | body of the response |
|---|---|---|
| begins with the head, its time-outs with the end | sent on as it comes; kept for another try | - |
| is answered | sent on to whom the answer is from | passed on as it comes, under the route's time-out |
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, final

from meshsim.live.clock import LiveClock
from meshsim.live.context import ATTEMPT_COUNT, Context
from meshsim.live.pool import Pool
from meshsim.live.proxy.access import AccessLog
from meshsim.live.proxy.ledger import Ledger
from meshsim.live.proxy.local_replies import CUT_OFF, LOCAL_REPLIES, OVERLOADED, PLAIN, local_reply
from meshsim.live.proxy.route import ListenerRoute
from meshsim.live.transport import Delivery, SocketTransport
from meshsim.live.wire.client import ClientConnection
from meshsim.live.wire.heads import RequestHead
from meshsim.live.wire.server import ServerConnection
from meshsim.mesh.call import Call, Owner
from meshsim.mesh.clock import Event
from meshsim.mesh.request import Request
from meshsim.policies.outcome import DC, DPE, NO_FLAG, SI, UF, UO, URX, UT, add_flag, flag_names
from meshsim.random import Key

if TYPE_CHECKING:
    from meshsim.live.proxy.pairing import Pairing, Serving
    from meshsim.live.proxy.visits import ServerSpans

REPLAY_BYTES = 1 << 20
"""What is kept of a request's body: beyond it there is no retry.
Envoy's `per_connection_buffer_limit_bytes`."""
WAITING_BYTES = 64 << 10
"""What is taken of a body that can't be sent on yet, and would not be sent again."""


class ExchangeContext:
    """What the exchanges of one listener are timed by, and recorded in.

    `log` and `ledger` are None where nothing is kept, `pairing` where the proxy's own replica is no program.
    Of requests that bring no trace `sampling` is the share that leaves spans.
    """

    def __init__(
        self, clock: LiveClock, log: AccessLog | None, ledger: Ledger | None, pairing: Pairing | None,
        visits: ServerSpans, sampling: float,
    ) -> None:  # fmt: skip
        self.clock = clock
        self.log = log
        self.ledger = ledger
        self.pairing = pairing
        self.visits = visits
        self.sampling = sampling


class Upstream(Delivery):
    """One attempt of an exchange: where its request goes, and its answer comes from."""

    def send(self, data: bytes) -> None:
        """More of the request's body."""
        if self.connection is not None:
            self.connection.send(data)

    def finish(self) -> None:
        """The request's body is whole."""
        if self.connection is not None:
            self.connection.end()

    def flow(self, yes: bool) -> None:
        """Whether more of the response is wanted now."""
        if self.connection is not None:
            self.connection.flow(yes)

    def cut(self, now: float) -> None:
        """The rest of the response is not wanted, or will not come."""
        raise NotImplementedError


@final
class Exchange(Owner):
    """One request.

    Attributes:
        root: key of the client's request, which its draws and spans go by.
        trace: id of its trace, 32 hex.
        half: the upper half of that.
        kept: its body, as far as it may be needed; None for none.
        whole: whether the body has come to its end.
        upstream: who takes the body as it comes.
        heard: whose response is being judged.
        streaming: whose response is being passed on.
        serving: what a program may make calls for while it answers; None where it is not a program.
        sent, received: bytes of the bodies.
        pool, onward: of the host that the last try was for, and the connection that it was sent on.
        failure: why there was no connection to the upstream, where that was so.
        peer: whom a certificate has shown to be at the other end: the caller if inbound, else the upstream.
        begun: when its head had come, s of scenario time.
        since: the same, s of the monotonic clock, on which the start of a scenario does not move it.
        answered_after: from the request's head to the response's, s; negative where no upstream answered.
    """

    kept: bytearray | None
    upstream: Upstream | None
    heard: Upstream | None
    streaming: Upstream | None
    serving: Serving | None
    peer: str
    pool: Pool | None
    onward: ClientConnection | None
    flags: int
    since: float
    wall: float
    call: Call | None
    deadline: Deadline | None

    def __init__(
        self, shared: ExchangeContext, route: ListenerRoute, connection: ServerConnection, head: RequestHead,
        context: Context, half: Key, root: Key, trace: str, span: Key, now: float,
    ) -> None:  # fmt: skip
        self.span = span
        self.shared = shared
        self.route = route
        self.connection = connection
        self.head = head
        self.context = context
        self.half = half
        self.root = root
        self.trace = trace
        self.kept = None
        self.size = 0
        self.spilled = False
        self.whole = False
        self.upstream = None
        self.heard = None
        self.streaming = None
        self.serving = None
        self.pool = None
        self.onward = None
        self.failure = ""
        self.version = ""
        self.peer = connection.identity if route.inbound else ""
        self.status = 0
        self.flags = NO_FLAG
        self.details = "via_upstream"
        self.received = 0
        self.sent = 0
        self.attempts = 0
        self.replica = -1
        self.row = -1
        self.begun = now
        self.since = now + shared.clock.base
        self.wall = 0.0 if shared.log is None else time.time()
        self.answered_after = -1.0
        self.call = None
        self.deadline = None

    def begin(self, body: bytes, whole: bool) -> None:
        """Makes the call."""
        context = self.context
        request = Request(-1, self.root, context.start, context.priority, context.sampled)
        request.half = self.half
        call = Call(self.route.mesh_route, self, request, context.key, context.extra, self.begun)
        self.call = call
        self.row = call.row
        self.whole = whole
        if body:
            self.received = len(body)
            self.keep(body)
        if not whole:
            call.uploading = True
            if self.head.expects:
                self.connection.proceed()
        call.begin(self.begun)

    # ---- what the downstream's connection reports -------------------------------------------------------

    def body(self, data: bytes) -> None:
        """More of the request's body."""
        call = self.call
        if call is None:
            return
        self.received += len(data)
        if not self.spilled:
            self.keep(data)
        if self.upstream is not None:
            self.upstream.send(data)
            self.spill()
        elif self.size > max(room(call), WAITING_BYTES):
            self.connection.flow(False)

    def keep(self, data: bytes) -> None:
        """Keeps more of the body: in one piece, for a small one is outweighed by what Python needs for it."""
        if self.kept is None:
            self.kept = bytearray()
        self.kept += data
        self.size += len(data)

    def spill(self) -> None:
        """Forgets a body that has been sent, and is too long to be sent again."""
        call = self.call
        if call is not None and not self.spilled and self.size > room(call):
            self.spilled = True
            self.kept = None
            call.replayable = False

    def complete(self) -> None:
        """The request is whole."""
        self.whole = True
        call = self.call
        if call is None:
            return
        if self.upstream is not None:
            self.upstream.finish()
            self.upstream = None
        self.connection.flow(True)  # to hear of it if the client goes
        now = self.shared.clock.now()
        call.uploaded(now)
        if self.streaming is not None and call.policy.timeouts is not None:
            self.limit(now + call.policy.timeouts.duration)

    def writable(self, yes: bool) -> None:
        """Whether the downstream takes more of the response."""
        if self.streaming is not None:
            self.streaming.flow(yes)

    def gone(self) -> None:
        """The downstream has gone before its answer was whole."""
        call = self.call
        if call is None:
            return
        now = self.shared.clock.now()
        if self.streaming is None:
            self.attempts = call.sent
            call.cancel(now)
        self.cut_off(DC, now)

    def broken(self, status: int, why: str) -> None:
        """The downstream has sent what is no body."""
        self.break_off(status, DPE)

    def stalled(self) -> None:
        """Nothing of it has moved for too long."""
        self.break_off(504 if self.whole else 408, SI)

    def break_off(self, status: int, flag: int) -> None:
        """Ends it for a reason that no call knows."""
        call = self.call
        if call is None:
            return
        now = self.shared.clock.now()
        if self.streaming is not None:
            self.cut_off(flag, now)
        elif call.cluster is None:
            call.reply(status, flag, now)
        else:
            call.conclude(status, flag, now)

    # ---- what its call reports --------------------------------------------------------------------------

    def answered(self, call: Call, now: float) -> None:
        self.status = call.status
        self.flags = call.flags
        self.attempts = call.sent
        heard = self.heard
        if heard is None:
            self.reply(call, now)
            return
        host = heard.attempt.host_sent()
        self.replica = host.replica
        if not self.route.inbound:
            self.version = host.version or "v1"
        self.answered_after = now + self.shared.clock.base - self.since
        head = heard.response
        assert head is not None, "a response is heard by its head"
        if not heard.attempt.lasting:
            self.sent = len(heard.rest)
            self.connection.answer(head.status, head.headers, heard.rest, head.length)
            self.finish(now)
            return
        self.streaming = heard
        self.connection.start(head.status, head.headers, head.length)
        if call.policy.timeouts is not None and not call.uploading:
            self.limit(call.due)

    def unreached(self, call: Call) -> None:
        """Which host could not be reached, and why, for the access log."""
        transport = call.route.transport
        if call.host is not None and isinstance(transport, SocketTransport):
            pool = transport.pools.get(call.host)
            if pool is not None:
                self.pool, self.failure, self.onward = pool, pool.failure, None

    def reply(self, call: Call, now: float) -> None:
        """The proxy answers by itself."""
        flags = self.flags >> 5 if self.flags & 31 == URX else self.flags
        if flags & 31 == UF:
            self.unreached(call)
        within = not 0.0 < call.due <= now
        body, self.details = local_reply(flags & 31, self.failure, call.launched > 1, within)
        self.sent = len(body)
        self.connection.answer(self.status, OVERLOADED if flags & 31 == UO else PLAIN, body)
        self.finish(now)

    # ---- the response, as it comes ----------------------------------------------------------------------

    def limit(self, due: float) -> None:
        """The response has to be whole by then."""
        self.deadline = Deadline(self)
        self.shared.clock.at(due, self.deadline, 0)

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
        """The response ends before it is whole, or begins: so does the downstream's connection."""
        streaming = self.streaming
        self.streaming = None
        if streaming is not None:
            streaming.cut(now)
        self.flags = add_flag(self.flags, flag)
        self.details = CUT_OFF.get(flag) or LOCAL_REPLIES[flag][1]
        self.connection.abort()
        self.finish(now)

    # ---- the end ----------------------------------------------------------------------------------------

    def finish(self, now: float) -> None:
        """Counts it, and records it."""
        self.upstream = None
        self.call = None
        if self.deadline is not None:
            self.deadline.exchange = None  # which stays on the clock till it is due
        route = self.route
        status = self.status
        shared = self.shared
        lasted = now + shared.clock.base - self.since
        flags = flag_names(self.flags) if self.flags else ""
        route.series.count(status, flags, lasted, self.received, self.sent, self.version, self.peer)
        policy = route.mesh_route.policy
        hedges = policy.hedge.limit > 0 and policy.rule is None
        route.passed.answered(status, lasted, self.attempts, hedges)
        ledger = shared.ledger
        if ledger is not None and not route.inbound:
            key = self.context.key
            ledger.call(self.row, key, now, status, self.flags, self.attempts, self.replica)
        elif ledger is not None and ledger.visits:
            ledger.visit(self.context, self.head.get(ATTEMPT_COUNT), self.begun, now, status)
        if self.serving is not None and shared.pairing is not None:
            shared.pairing.end(self.serving, answered=self.flags == NO_FLAG)
            if self.context.sampled and self.flags != UF:  # else nobody there has seen it
                shared.visits.add(
                    self.context, self.head.get(ATTEMPT_COUNT), self.half, self.root, route.endpoint,
                    self.begun, now, status, self.flags,
                )  # fmt: skip
        if shared.log is not None:
            shared.log.write(
                self.wall, self.head, status, flags, self.details, self.received, self.sent, lasted,
                self.answered_after, self.pool, route.noted, self.attempts, self.connection, self.onward,
                self.failure,
            )  # fmt: skip
        self.pool = self.onward = None  # which may know this


def room(call: Call) -> int:
    """How long a body may be to be sent again, bytes."""
    return REPLAY_BYTES if call.policy.rule is not None or call.policy.hedge.limit > 0 else 0


class Deadline(Event):
    """The route's time-out, while a response is being passed on."""

    exchange: Exchange | None

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def fire(self, step: int, now: float) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.streaming is not None:
            exchange.cut_off(UT, now)
