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
    key_hex,
    parse_context,
    parse_trace,
    request_id,
    stranger,
    stranger_header,
    trace_hex,
    traceparent,
)
from meshsim.live.proxy.access import AccessLog
from meshsim.live.proxy.exchange import Books, Exchange
from meshsim.live.proxy.ledger import Ledger
from meshsim.live.proxy.series import Series
from meshsim.live.proxy.way import Way
from meshsim.live.proxy.words import MALFORMED, PLAIN, REFUSED, WORDS
from meshsim.live.wire.handler import Handler
from meshsim.live.wire.heads import Headers, RequestHead
from meshsim.live.wire.server import ServerConnection
from meshsim.live.wire.stream import NOBODY, ServerStream
from meshsim.live.wire.write import reason
from meshsim.policies.outcome import NR, flag_names
from meshsim.random import SCRIPT, Key, derive

OWN = frozenset([ATTEMPT_COUNT, TRACEPARENT])
"""Headers that an outbound listener writes anew."""


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

    clock: LiveClock
    books: Books
    ways: dict[bytes, Way]
    any: Way | None
    inbound: bool
    key: Key
    log: AccessLog | None
    unrouted: Series
    strangers: int
    connections: set[ServerConnection]

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
        self.books = Books(clock, log, ledger)
        self.unrouted = unrouted
        self.strangers = 0
        self.connections = set()

    def begin(
        self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool
    ) -> ServerStream:
        way = self.any or self.ways.get(head.host.partition(b":")[0])
        if way is None:
            self.refuse(connection, head)
            return NOBODY  # there is nothing more to hear of it
        now = self.clock.now()
        headers = head.headers
        written = traced = b""
        identified = own = False
        contexts = 0
        name: bytes
        value: bytes
        for name, value in headers:
            if name == CONTEXT:
                contexts += 1
                written = written or value
            elif name == TRACEPARENT:
                traced = value
                own = True
            elif name == REQUEST_ID:
                identified = True
            elif name == ATTEMPT_COUNT:
                own = True
        if own and not self.inbound:
            headers = [header for header in headers if header[0] not in OWN]
        trace = parse_trace(traced) if traced else None
        context = parse_context(written) if written else None
        strange = context is None
        if context is None:
            context = self.stranger(way, trace, now)
        root = context.key if trace is None else trace.root()
        if strange or contexts > 1:
            if contexts:
                headers = [header for header in headers if header[0] != CONTEXT]
            headers.append((CONTEXT, stranger_header(context) if strange else written))
        if self.inbound and trace is None:  # from outside the mesh
            key, _ = attempt_key(context, head.get(ATTEMPT_COUNT))
            headers = [header for header in headers if header[0] != TRACEPARENT]
            headers.append((TRACEPARENT, traceparent(key_hex(root), key or 1, context.sampled)))
        if not identified:
            headers.append((REQUEST_ID, request_id(root)))
        head.headers = headers
        parent = 0 if trace is None or way.client else trace.parent
        text = key_hex(root) if trace is None else trace_hex(trace.trace)
        exchange = Exchange(self.books, way, connection, head, context, root, text, parent, now)
        exchange.begin(body, whole)
        return exchange

    def stranger(self, way: Way, trace: Trace | None, now: float) -> Context:
        """The context of a call that brings none: of a program that forwards tracing headers, or nobody."""
        if trace is not None and way.step >= 0:
            return stranger(derive(trace.parent, SCRIPT + way.step), now, trace.sampled)
        self.strangers += 1
        return stranger(derive(self.key, self.strangers), now, trace is not None and trace.sampled)

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
        flag, details = REFUSED.get(status, MALFORMED)
        sent = len(reason(status))
        self.unrouted.count(status, flag_names(flag), 0.0, 0, sent)
        self.log_refusal(b"", b"", 1, status, flag_names(flag), details, sent, [], b"")

    def log_refusal(
        self, method: bytes, path: bytes, minor: int, status: int, flags: str, details: str, sent: int,
        headers: Headers, host: bytes,
    ) -> None:  # fmt: skip
        """Writes the line of a request that makes no call."""
        if self.log is None:
            return
        found = dict(headers)
        self.log.write(
            time.time(), method, path, minor, status, flags, details, 0, sent, 0.0, -1.0,
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
            stream = connection.stream
            connection.abort()
            stream.gone()
