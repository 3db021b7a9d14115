"""A listener of the proxy: finds each request's route."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from meshsim.live.context import (
    ATTEMPT_COUNT,
    FAMILY,
    REQUEST_ID,
    TRACEPARENT,
    TRACESTATE,
    Trace,
    attempt_key,
    key_hex,
    parse_context,
    parse_trace,
    request_id,
    stranger,
    stranger_header,
    trace_half,
    trace_hex,
    traceparent,
)
from meshsim.live.proxy import hops
from meshsim.live.proxy.access import NO_ROUTE
from meshsim.live.proxy.exchange import Exchange, ExchangeContext
from meshsim.live.proxy.local_replies import DENIED, LOCAL_REPLIES, MALFORMED, PLAIN, REFUSED, denial
from meshsim.live.proxy.pairing import Serving
from meshsim.live.proxy.route import ListenerRoute
from meshsim.live.proxy.series import Series
from meshsim.live.wire.answering import NOBODY, ServerStream
from meshsim.live.wire.heads import Headers, RequestHead
from meshsim.live.wire.server import Handler, ServerConnection
from meshsim.live.wire.write import reason
from meshsim.policies.outcome import NO_FLAG, NR, flag_names
from meshsim.random import SAMPLE, Key, derive, u01

if TYPE_CHECKING:
    from meshsim.live.tls.entrance import Entrance
    from meshsim.policies.access import Decision
    from meshsim.scenario.machines import ConfiguredProxy

OWN = frozenset([ATTEMPT_COUNT, TRACEPARENT, b"x-forwarded-client-cert"])
"""Headers that a proxy writes anew, beside those of meshsim's family, or that claim what it knows better."""


def cleaned(headers: Headers, context: bytes, counted: bool, trace: Trace | None) -> Headers:
    """Headers without those that a proxy writes anew, but for the context's (``b""``: none is kept).

    The attempt's count is kept if it is `counted`, as an outsider's is not; ``tracestate`` if it is of the
    `trace` that is continued.
    """
    count = ATTEMPT_COUNT if counted else b""
    state = TRACESTATE if trace is None else b""
    return [
        each
        for each in headers
        if each[0] == context
        or each[0] == count
        or not (each[0] in OWN or each[0] == state or each[0].startswith(FAMILY))
    ]


class Listener(Handler):
    """Takes requests and sends them where their route leads.

    `routes` go by the Host that names them, under ``b""`` whatever it is; `inbound` is before the proxy's own
    replica; calls of strangers, who send no context, are numbered under `key`; `context_name` is of the
    header that says whose a call is. An `entrance` may have changed its mind about open connections.
    """

    entrance: Entrance | None
    guard: ConfiguredProxy | None
    any: ListenerRoute | None
    connections: set[ServerConnection]

    half: Key

    def __init__(
        self, shared: ExchangeContext, routes: dict[bytes, ListenerRoute], inbound: bool, key: Key,
        unrouted: Series, context_name: bytes,
    ) -> None:  # fmt: skip
        self.shared = shared
        self.routes = routes
        self.any = routes.get(b"")
        self.inbound = inbound
        self.key = key
        self.unrouted = unrouted
        self.context_name = context_name
        self.half = trace_half(context_name.decode())
        self.strangers = 0
        self.entrance = None
        self.guard = None
        self.connections = set()

    def begin(
        self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool
    ) -> ServerStream:
        if self.entrance is not None and self.entrance.refuses(connection.identity):
            connection.hang_up()
            return NOBODY
        route = self.any or self.routes.get(head.host.partition(b":")[0])
        if route is None:
            self.reply(connection, head, 404, NR, PLAIN, LOCAL_REPLIES[NR][0])
            return NOBODY  # there is nothing more to hear of it
        policy = None if self.guard is None else self.guard.access
        if policy is not None:
            decision = policy.decide(
                connection.identity, head.method.decode("latin-1"), head.page.decode("latin-1")
            )
            if not decision.allowed:
                self.deny(connection, head, route, decision)
                return NOBODY
        if head.method in hops.COUNTED and hops.count_down(head):
            headers, text = hops.reply(head)
            self.reply(connection, head, 200, NO_FLAG, headers, text)
            return NOBODY
        if route.endpoints:
            route = route.endpoints.get((head.method, head.page), route)
        exchange = self.exchange(route, connection, head, self.shared.clock.now())
        exchange.begin(body, whole)
        return exchange

    def exchange(
        self, route: ListenerRoute, connection: ServerConnection, head: RequestHead, now: float
    ) -> Exchange:
        """Finds out whose a request is, and puts it into the headers for the next hop."""
        value_sent = traced = identity = b""
        contexts = own = 0
        name: bytes
        value: bytes
        for name, value in head.headers:
            if name == self.context_name:
                contexts += 1
                value_sent = value_sent or value
            elif name == TRACEPARENT:
                traced = b"-" if traced else value  # two are none
            elif name == REQUEST_ID:
                identity = value
            elif name.startswith(FAMILY):
                own += 1
        trace = parse_trace(traced) if traced else None
        text = "" if trace is None else trace_hex(trace.half, trace.root)
        half: Key = self.half if trace is None else trace.half
        root: Key = 0 if trace is None else trace.root
        context = parse_context(value_sent) if contexts == 1 else None
        known = context is not None
        parent: Key = 0 if trace is None or (route.client and known) else trace.parent
        if context is None:
            pairing = None if self.inbound else self.shared.pairing
            found = None if pairing is None else pairing.find(trace, text, identity)
            if found is None:
                self.strangers += 1
                number = derive(self.key, self.strangers)
                context = stranger(number, now, self.samples(number) if trace is None else trace.sampled)
                value_sent = stranger_header(context)
            else:
                context = found.call(route)
                value_sent = context.header()
                if trace is None or text != found.trace:  # else it is the program's own span
                    parent = found.span
                text, half, root = found.trace, found.half, found.root
        if not text:
            root = context.key
            text = key_hex(self.half, root)
        exchange = Exchange(self.shared, route, connection, head, context, half, root, text, parent, now)
        if not identity:
            identity = request_id(root)
            head.headers.append((REQUEST_ID, identity))
        pairing = self.shared.pairing if self.inbound else None
        if self.inbound and pairing is None and known and trace is not None and own == 0:
            return exchange  # all is there, and nothing that may not be
        shown = pairing is None  # a program gets to see no context
        head.headers = cleaned(
            head.headers, self.context_name if known and shown else b"", self.inbound and known, trace
        )
        if shown and not known:
            head.headers.append((self.context_name, value_sent))
        if self.inbound:
            self.admit(exchange, identity)
        return exchange

    def samples(self, key: Key) -> bool:
        """Whether a request that nobody has decided about leaves spans."""
        sampling = self.shared.sampling
        return sampling > 0.0 and u01(key, SAMPLE) < sampling

    def admit(self, exchange: Exchange, identity: bytes) -> None:
        """Names the attempt that a request to the own replica is; `identity` is its `x-request-id`."""
        head, context = exchange.head, exchange.context
        key, number = attempt_key(context, head.get(ATTEMPT_COUNT))
        pairing = self.shared.pairing
        if pairing is not None:
            endpoint = exchange.route.endpoint
            serving = Serving(
                key, number, context, exchange.trace, exchange.half, exchange.root, identity, endpoint
            )
            exchange.serving = serving
            pairing.begin(serving)
            key = serving.span
        head.headers.append((TRACEPARENT, traceparent(exchange.trace, key or 1, context.sampled)))

    def reply(
        self, connection: ServerConnection, head: RequestHead, status: int, flag: int, headers: Headers,
        body: bytes,
    ) -> None:  # fmt: skip
        """Answers a request that goes no further, and makes no call."""
        connection.answer(status, headers, body)
        self.count(
            connection, head, status, flag, LOCAL_REPLIES[flag][1] if flag else "direct_response", len(body)
        )

    def deny(
        self, connection: ServerConnection, head: RequestHead, route: ListenerRoute, decision: Decision
    ) -> None:
        """Answers a request that access rules deny: for its caller a visit like any other, answered 403."""
        shared = self.shared
        now = shared.clock.now()
        connection.answer(403, PLAIN, DENIED)
        route.series.count(403, "", 0.0, 0, len(DENIED), "", connection.identity)
        context = parse_context(head.get(self.context_name))
        if shared.ledger is not None and context is not None:
            shared.ledger.visit(context, head.get(ATTEMPT_COUNT), now, now, 403)
        trace = None if context is None or not context.sampled else parse_trace(head.get(TRACEPARENT))
        if context is not None and trace is not None:
            endpoint = route.endpoints.get((head.method, head.page), route).endpoint
            shared.visits.add(
                context, head.get(ATTEMPT_COUNT), trace.half, trace.root, endpoint, now, now, 403, NO_FLAG
            )
        if shared.log is not None:
            details = denial(decision.matched)
            shared.log.write(
                time.time(), head, 403, "", details, 0, len(DENIED), 0.0, -1.0, None, route.noted, 0,
                connection,
            )  # fmt: skip

    def refused(self, connection: ServerConnection, status: int, why: str) -> None:
        flag, details = REFUSED.get(status, MALFORMED)
        nothing = RequestHead(b"", b"", b"", b"", [], 0, False, 1)
        self.count(connection, nothing, status, flag, details, len(reason(status)))

    def count(
        self, connection: ServerConnection, head: RequestHead, status: int, flag: int, details: str, sent: int
    ) -> None:
        """Counts and logs a request that makes no call; `sent` is bytes of its answer's body."""
        flags = flag_names(flag)
        self.unrouted.count(status, flags, 0.0, 0, sent)
        log = self.shared.log
        if log is not None:
            log.write(
                time.time(), head, status, flags, details, 0, sent, 0.0, -1.0, None, NO_ROUTE, 0, connection
            )

    def opened(self, connection: ServerConnection) -> None:
        self.connections.add(connection)

    def closed(self, connection: ServerConnection) -> None:
        self.connections.discard(connection)

    def abort_all(self) -> None:
        """Resets every connection: the pod is gone."""
        for connection in list(self.connections):
            stream = connection.stream
            connection.abort()
            stream.gone()
