"""A listener of the proxy: finds each request's way."""

from __future__ import annotations

import time

from meshsim.live.clock import LiveClock
from meshsim.live.context import (
    ATTEMPT_COUNT,
    CONTEXT,
    REQUEST_ID,
    TRACEPARENT,
    Context,
    Trace,
    attempt_key,
    parse_context,
    parse_trace,
    request_id,
)
from meshsim.live.proxy.access import AccessLog
from meshsim.live.proxy.exchange import LOST, PLAIN, WORDS, Exchange
from meshsim.live.proxy.ledger import Ledger
from meshsim.live.proxy.series import Series
from meshsim.live.proxy.way import Way
from meshsim.live.wire import Handler, RequestHead, ServerConnection, ServerStream
from meshsim.live.wire.heads import Headers
from meshsim.policies.outcome import NR, flag_names
from meshsim.random import SCRIPT, Key, derive

OWN = frozenset([ATTEMPT_COUNT, CONTEXT, TRACEPARENT])
"""Headers that an outbound listener writes anew."""
MALFORMED = "DPE"
"""Envoy's flag of a downstream protocol error: it is raised by no call."""


class Listener(Handler):
    """Takes requests and sends them their way.

    Args:
        ways: by the Host that names them; under ``b""`` whatever its Host.
        inbound: whether it stands before the proxy's own replica.
        key: what the calls of strangers, who send no context, are numbered under.
        sampling: which share of those leaves spans.
        unrouted: counts requests that have no way.

    Attributes:
        strangers: such calls so far.
        connections: open ones.
    """

    def __init__(
        self, clock: LiveClock, ways: dict[bytes, Way], *, inbound: bool, key: Key, log: AccessLog | None,
        ledger: Ledger | None, unrouted: Series,
    ) -> None:  # fmt: skip
        self.clock = clock
        self.ways = ways
        self.any = ways.get(b"")
        self.inbound = inbound
        self.key = key
        self.log = log
        self.ledger = ledger
        self.unrouted = unrouted
        self.strangers = 0
        self.connections: set[ServerConnection] = set()

    def begin(
        self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool
    ) -> ServerStream:
        way = self.any or self.ways.get(head.host.partition(b":")[0])
        if way is None:
            self.refuse(connection, head)
            return LOST
        written, traced = b"", b""
        identified = False
        for name, value in head.headers:
            if name == CONTEXT:
                written = written or value
            elif name == TRACEPARENT:
                traced = value
            elif name == REQUEST_ID:
                identified = True
        context = parse_context(written) if written else None
        trace = parse_trace(traced) if traced else None
        strange = context is None
        if context is None:
            context = self.stranger(way, trace)
            written = context.header()
        headers = head.headers
        number = context.key if trace is None else trace.trace
        if not self.inbound:
            headers = [header for header in headers if header[0] not in OWN]
            headers.append((CONTEXT, written))
        elif trace is None or strange:  # from outside the mesh
            headers = _introduced(head, context, written, trace or Trace(number or 1, 0, context.sampled))
        if not identified:
            headers.append((REQUEST_ID, request_id(number & 0xFFFFFFFFFFFFFFFF)))
        head.headers = headers
        parent = 0 if trace is None or way.caller == "client" else trace.parent
        exchange = Exchange(self, way, connection, head, context, number or 1, parent)
        exchange.begin(body, whole)
        return exchange  # type: ignore[return-value]  # a stream by its methods: it is the call's owner by class

    def stranger(self, way: Way, trace: Trace | None) -> Context:
        """The context of a call that brings none: of a program that forwards tracing headers, or nobody."""
        now = self.clock.now()
        if trace is not None and way.step >= 0:
            return Context(derive(trace.parent, SCRIPT + way.step), now, False, trace.sampled, 0)
        self.strangers += 1
        return Context(derive(self.key, self.strangers), now, False, trace is not None and trace.sampled, 0)

    def refuse(self, connection: ServerConnection, head: RequestHead) -> None:
        """There is no way to where this request wants to go."""
        words, details = WORDS[NR]
        connection.answer(404, PLAIN, words)
        self.unrouted.count(404, flag_names(NR), 0.0, 0, len(words))
        self.log_refusal(
            head.method,
            head.path,
            head.minor,
            404,
            flag_names(NR),
            details,
            len(words),
            head.headers,
            head.host,
        )

    def refused(self, connection: ServerConnection, status: int, why: str) -> None:
        self.unrouted.count(status, MALFORMED, 0.0, 0, 0)
        self.log_refusal(b"", b"", 1, status, MALFORMED, "http1.codec_error", 0, [], b"")

    def log_refusal(
        self, method: bytes, path: bytes, minor: int, status: int, flags: str, details: str, sent: int,
        headers: Headers, host: bytes,
    ) -> None:  # fmt: skip
        """Writes the line of a request that makes no call."""
        if self.log is None:
            return
        found = dict(headers)
        self.log.write(
            time.time(), method, path, minor, status, flags, details, 0, sent, 0.0, None,
            found.get(b"x-forwarded-for", b""), found.get(b"user-agent", b""), found.get(REQUEST_ID, b""),
            host, "", "", "", 0,
        )  # fmt: skip

    def opened(self, connection: ServerConnection) -> None:
        self.connections.add(connection)

    def closed(self, connection: ServerConnection) -> None:
        self.connections.discard(connection)

    def abort_all(self) -> None:
        """Resets every connection: the pod is gone."""
        for connection in list(self.connections):
            connection.abort()


def _introduced(head: RequestHead, context: Context, written: bytes, trace: Trace) -> Headers:
    """The headers of a request from outside the mesh, as its replica is to get them."""
    key, _ = attempt_key(context, head.get(ATTEMPT_COUNT))
    headers = [header for header in head.headers if header[0] not in (CONTEXT, TRACEPARENT)]
    told = Trace(trace.trace, trace.parent or key or 1, trace.sampled)
    return [*headers, (CONTEXT, written), (TRACEPARENT, told.header())]
