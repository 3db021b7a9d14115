"""An attempt of a proxy on its connection, with bodies that are passed on as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from meshsim.live.clock import LiveClock
from meshsim.live.context import ATTEMPT_COUNT, TRACEPARENT, traceparent
from meshsim.live.pool import Address
from meshsim.live.proxy.exchange import Exchange, Upstream
from meshsim.live.proxy.ledger import Ledger
from meshsim.live.transport import Delivery, SocketTransport, cause_of
from meshsim.live.wire.client import GARBAGE, ClientConnection
from meshsim.live.wire.heads import CHUNKED, ResponseHead
from meshsim.live.wire.write import request_head
from meshsim.mesh.attempt import Attempt
from meshsim.mesh.call import Call
from meshsim.mesh.link import Link
from meshsim.policies.outcome import NO_FLAG, RESET, UC, UPE
from meshsim.random import LINK_BACK, LOSS_BACK

if TYPE_CHECKING:
    from meshsim.live.tls.connect import Secured

OTHER_TRY = ATTEMPT_COUNT + b": %d\r\n" + TRACEPARENT + b": %b\r\n"
FIRST_TRY = ATTEMPT_COUNT + b": 1\r\n" + TRACEPARENT + b": "
"""Written once, as most attempts are their call's first."""


class ProxyTransport(SocketTransport):
    """Sends on what the downstream sent; attempts are recorded in the ledger, if there is one."""

    def __init__(
        self, clock: LiveClock, addresses: dict[str, Address], ledger: Ledger | None = None,
        links: dict[int, Link] | None = None, changing: bool = False, secured: Secured | None = None,
    ) -> None:  # fmt: skip
        super().__init__(clock, addresses, links, changing, secured=secured)
        self.ledger = ledger

    def delivery(self, attempt: Attempt) -> Delivery:
        if self.ledger is not None:
            self.ledger.attempt(attempt)
        return ProxyDelivery(self, attempt)


@final
class ProxyDelivery(Upstream):
    """One attempt of an exchange."""

    exchange: Exchange
    early: list[bytes]

    def __init__(self, transport: SocketTransport, attempt: Attempt) -> None:
        super().__init__(transport, attempt)
        call = attempt.call
        assert isinstance(call, Call), "attempts are what a call sends"
        made: Call = call
        owner = made.owner
        assert isinstance(owner, Exchange), "the calls of a proxy are exchanges'"
        exchange: Exchange = owner
        self.exchange = exchange
        self.early = []
        self.ended = False

    # ---- out ----------------------------------------------------------------------------------------

    def write(self, now: float) -> None:
        exchange = self.exchange
        exchange.pool = self.pool
        if not exchange.route.inbound and self.connection is not None:
            exchange.peer = self.connection.identity
        if self.waited_for:
            exchange.onward = self.connection
        if not exchange.whole and self.waited_for:
            exchange.upstream = self  # before the first byte: its connection may be full at once
            exchange.connection.flow(True)
        super().write(now)
        if self.waited_for:
            exchange.spill()

    def request(self, connection: ClientConnection) -> None:
        exchange, attempt = self.exchange, self.attempt  # whose call may be over: it still travels
        head = exchange.head
        more = b""
        if not exchange.route.inbound:
            trace = traceparent(exchange.trace, attempt.key, exchange.context.sampled)
            if attempt.number == 0:
                more = FIRST_TRY + trace + b"\r\n"
            else:
                more = OTHER_TRY % (attempt.number + 1, trace)
        body = b"" if exchange.kept is None else bytes(exchange.kept)
        host = exchange.route.authority or head.host
        out = request_head(head.method, head.path, host, head.headers, head.length, more)
        connection.request(self, out, body, exchange.whole, head.method, head.length == CHUNKED)

    def writable(self, yes: bool) -> None:
        if self.exchange.upstream is self:
            self.exchange.connection.flow(yes)

    # ---- back ---------------------------------------------------------------------------------------

    def end(self, status: int, flag: int, cause: int, now: float) -> None:
        exchange = self.exchange
        if exchange.upstream is self and not self.attempt.lasting:
            exchange.upstream = None
        exchange.heard = None if cause == RESET else self
        super().end(status, flag, cause, now)
        exchange.heard = None

    def head(self, connection: ClientConnection, head: ResponseHead) -> None:
        self.response = head
        now = self.transport.clock.now()
        if self.link is None:
            self.begin(now)
        elif self.waited_for:
            connection.flow(False)
            self._send_over(self.link, (LINK_BACK, LOSS_BACK), self.begin, now)
        else:
            self.drop()

    def begin(self, now: float) -> None:
        """A response has begun: the call is decided by its head, and its connection is busy till the end."""
        head = self.response
        crossed = self.crossing
        self.crossing = None
        if head is None or not self.waited_for:
            self.drop()
            return
        exchange = self.exchange
        self.attempt.lasting = True
        self.end(head.status, NO_FLAG, cause_of(head), now)
        if exchange.streaming is not self:
            self.cut(now)
            return
        if crossed is not None and self.connection is not None:
            self.connection.flow(True)
        for data in self.early:
            exchange.pass_on(data)
        self.early = []
        if self.ended and self.connection is not None:
            self.complete(self.connection)

    def body(self, data: bytes) -> None:
        if self.crossing is not None:
            self.early.append(data)
        elif self.exchange.streaming is self:
            self.exchange.pass_on(data)

    def complete(self, connection: ClientConnection) -> None:
        if self.crossing is not None:
            self.ended = True
            return
        now = self.transport.clock.now()
        reusable = self.give_back()
        self.attempt.detach(reusable, now)
        if self.exchange.streaming is self:
            self.exchange.passed(now)

    def lost(self, connection: ClientConnection, kind: int, why: str) -> None:
        if self.exchange.streaming is not self:
            super().lost(connection, kind, why)
            return
        self.exchange.cut_off(UPE if kind == GARBAGE else UC, self.transport.clock.now())

    def cut(self, now: float) -> None:
        if self.exchange.upstream is self:
            self.exchange.upstream = None
        self.drop()
        self.attempt.detach(False, now)
