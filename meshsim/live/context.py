"""What travels with a call: whose it is, so that the same draws are made live as in a simulation.

``x-meshsim: <key of the call, 16 hex>;<start of the client's request, s>;<extra>;<sampled>;<priority>`` goes
from whoever makes a call through every proxy, ours or Envoy's, to the replica. The attempt's key follows
from it and from ``x-envoy-attempt-count``. A program that knows nothing of meshsim forwards the tracing
headers, as in any mesh: then ``traceparent`` names the attempt that a call was made for, and the call's key
is that of the first step of the caller's script that calls this service.

Source: W3C Trace Context, traceparent ``00-<trace id, 32 hex>-<parent id, 16 hex>-<flags, 2 hex>``.
"""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

from meshsim.random import Key, derive

CONTEXT = b"x-meshsim"
ATTEMPT_COUNT = b"x-envoy-attempt-count"
TRACEPARENT = b"traceparent"
REQUEST_ID = b"x-request-id"

PRIORITY_MOST = 1000
TRACE_LENGTH, PARENT_LENGTH, TRACEPARENT_LENGTH = 32, 16, 55


class Context(NamedTuple):
    """Whose call it is.

    Attributes:
        key: of the call.
        start: of the client's request, s of scenario time.
        extra: whether the call exists only because of a retry or a hedge.
        sampled: whether it leaves spans.
        priority: of the work.
    """

    key: Key
    start: float
    extra: bool
    sampled: bool
    priority: int

    def header(self) -> bytes:
        """The value of ``x-meshsim``."""
        return b"%016x;%r;%d;%d;%d" % (self.key, self.start, self.extra, self.sampled, self.priority)


def parse_context(value: bytes) -> Context | None:
    """What ``x-meshsim`` says; None if it says nothing that we would have written."""
    parts = value.split(b";")
    if len(parts) != len(Context._fields) or len(parts[0]) != PARENT_LENGTH:
        return None
    try:
        key, start, priority = int(parts[0], 16), float(parts[1]), int(parts[4])
    except ValueError:
        return None
    if not isfinite(start) or abs(priority) > PRIORITY_MOST or key < 0:
        return None
    return Context(key, start, parts[2] == b"1", parts[3] == b"1", priority)


def attempt_key(context: Context, count: bytes) -> tuple[Key, int]:
    """Key and number (from 0) of the attempt that brings a call, by its ``x-envoy-attempt-count``."""
    number = int(count) - 1 if count.isdigit() and len(count) < PARENT_LENGTH else 0
    number = max(number, 0)
    return derive(context.key, number), number


class Trace(NamedTuple):
    """What ``traceparent`` says.

    Attributes:
        trace: of the client's request.
        parent: key of the attempt that the caller served when it made the call.
        sampled: whether spans are kept.
    """

    trace: int
    parent: Key
    sampled: bool

    def header(self) -> bytes:
        """The value of ``traceparent``."""
        return b"00-%032x-%016x-%02x" % (self.trace, self.parent, self.sampled)


def parse_trace(value: bytes) -> Trace | None:
    """What ``traceparent`` says; None if it is not one of version 00 with ids that are not 0."""
    parts = value.split(b"-")
    if len(value) != TRACEPARENT_LENGTH or [len(part) for part in parts] != [
        2,
        TRACE_LENGTH,
        PARENT_LENGTH,
        2,
    ]:
        return None
    try:
        version, trace, parent, flags = (int(part, 16) for part in parts)
    except ValueError:
        return None
    return Trace(trace, parent, flags & 1 == 1) if version == 0 and trace and parent else None


def request_id(key: Key) -> bytes:
    """An ``x-request-id`` in the form of a UUID (version 8: bits of one's own), of the request's key."""
    text = b"%016x" % key
    other = b"%016x" % derive(key, 0)
    return b"%b-%b-8%b-8%b-%b" % (text[:8], text[8:12], text[12:15], other[:3], other[3:15])
