"""What travels with a call: whose it is, so that the same draws are made live as in a simulation.

``x-meshsim-…: <key of the call, 16 hex>;<start of the client's request, s>;<extra>;<sampled>;<priority>``
goes from whoever makes a call through every proxy, ours or Envoy's, to the replica. The attempt's key follows
from it and from ``x-envoy-attempt-count``.

The header's name ends with a secret of the run, which its own processes alone know: nobody from outside
can decide what is drawn. A program gets to see no header of this family, and sends none on: its sidecar knows
which request a call was made for by the tracing headers (`proxy.pairing`).

Source: W3C Trace Context, traceparent ``00-<trace id, 32 hex>-<parent id, 16 hex>-<flags, 2 hex>``. A version
that is still to come is read as far as that goes, and answered with 00; ff is none.
"""

from __future__ import annotations

import re
from hashlib import sha256
from math import isfinite
from typing import final

from meshsim.random import Key, derive

FAMILY = b"x-meshsim"
"""How the names of meshsim's own headers begin; by itself, that of the context where there is no secret."""
ATTEMPT_COUNT = b"x-envoy-attempt-count"
TRACEPARENT = b"traceparent"
TRACESTATE = b"tracestate"
REQUEST_ID = b"x-request-id"

PRIORITY_MOST = 1000
START_MOST = 1e9
"""Of a request, s: some thirty years."""
COUNT_DIGITS = 15
MICROS = 1e6

_NUMBER = rb"-?[0-9]{1,10}(?:\.[0-9]{1,20})?(?:e-?[0-9]{1,3})?"
_CONTEXT = re.compile(rb"([0-9a-f]{16});(" + _NUMBER + rb");([01]);([01]);(-?[0-9]{1,4})")
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TRACE = rb"-([0-9a-f]{16})([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{2})"
_TRACEPARENT = re.compile(b"00" + _TRACE)
_LATER_TRACEPARENT = re.compile(rb"(?!00|ff)[0-9a-f]{2}" + _TRACE + rb"(?:-.*)?")


@final
class Context:
    """Whose call it is; `start` is that of the client's request, s of scenario time.

    `extra` says that the call exists only because of a retry or a hedge; `sampled`, that it leaves spans.
    """

    def __init__(self, key: Key, start: float, extra: bool, sampled: bool, priority: int) -> None:
        self.key = key
        self.start = start
        self.extra = extra
        self.sampled = sampled
        self.priority = priority

    def header(self) -> bytes:
        """The value of its header."""
        extra = 1 if self.extra else 0
        sampled = 1 if self.sampled else 0
        return f"{self.key:016x};{self.start!r};{extra};{sampled};{self.priority}".encode()


def parse_context(value: bytes) -> Context | None:
    """What the header says; None if it says nothing that we would have written."""
    found = _CONTEXT.fullmatch(value)
    if found is None:
        return None
    key, start, extra, sampled, priority = found.groups()
    began, rank = float(start), int(priority)
    if not isfinite(began) or abs(began) > START_MOST or abs(rank) > PRIORITY_MOST:
        return None
    return Context(int(key, 16), began, extra == b"1", sampled == b"1", rank)


def stream_key(value: bytes) -> Key:
    """The key of a call that an Envoy has numbered, as those of programs; 0 if it has not."""
    return int(value[:8] + value[9:13] + value[14:18], 16) if _UUID.fullmatch(value) else 0


def stranger(key: Key, now: float, sampled: bool) -> Context:
    """The context of a call that brings none.

    NOTE: its start is cut to microseconds, which `stranger_header` writes as two numbers of C's. The shortest
    digits that distinguish a float from all others take five times as long to find.
    """
    return Context(key, int(now * MICROS) / MICROS, False, sampled, 0)


def stranger_header(context: Context) -> bytes:
    """The header of a stranger's context: its `header`, but for zeros at the end of the start."""
    if context.start < 0.0:  # before the scenario begins: C's division is not Python's there
        return context.header()
    total = int(context.start * MICROS + 0.5)
    seconds = total // 1000000
    micros = total % 1000000
    sampled = 1 if context.sampled else 0
    return f"{context.key:016x};{seconds}.{micros:06d};0;{sampled};0".encode()


def attempt_key(context: Context, count: bytes) -> tuple[Key, int]:
    """Key and number (from 0) of the attempt that brings a call, by its ``x-envoy-attempt-count``."""
    number = int(count) - 1 if count.isdigit() and len(count) <= COUNT_DIGITS else 0
    number = max(number, 0)
    return derive(context.key, number), number


@final
class Trace:
    """What ``traceparent`` says.

    The trace's id is `half`, its upper half, and `root`, the key of the client's request; `parent` is the key
    of the attempt that the caller served when it called.
    """

    def __init__(self, half: Key, root: Key, parent: Key, sampled: bool) -> None:
        self.half = half
        self.root = root
        self.parent = parent
        self.sampled = sampled

    def header(self) -> bytes:
        """The value of ``traceparent``."""
        return traceparent(trace_hex(self.half, self.root), self.parent, self.sampled)


def trace_hex(half: Key, root: Key) -> str:
    """A trace's id, of its two halves, as ``traceparent`` has it."""
    return f"{half:016x}{root:016x}"


def trace_half(name: str) -> Key:
    """The upper half of the ids of a run's traces, so that no two runs share one; `name`: its context header.

    NOTE: programs see it, and must not learn the name.
    """
    digest: bytes = sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big")


def key_hex(half: Key, key: Key) -> str:
    """The trace's id of a request that nobody has given one: its key, below the half that is the run's."""
    return trace_hex(half, key or 1)


def traceparent(trace: str, parent: Key, sampled: bool) -> bytes:
    """The value of ``traceparent``; `trace` is as `trace_hex` writes it. See `Trace`."""
    return f"00-{trace}-{parent:016x}-0{1 if sampled else 0}".encode()


def parse_trace(value: bytes) -> Trace | None:
    """What ``traceparent`` says; None if it is none, or an id of it is 0."""
    found = _TRACEPARENT.fullmatch(value) or _LATER_TRACEPARENT.fullmatch(value)
    if found is None:
        return None
    half, root, parent, flags = [int(group, 16) for group in found.groups()]
    return Trace(half, root, parent, flags & 1 == 1) if (half or root) and parent else None


def request_id(key: Key) -> bytes:
    """An ``x-request-id`` in the form of a UUID (version 8: bits of one's own), of the request's key."""
    other = derive(key, 0)
    first: Key = key >> 32
    second: Key = (key >> 16) & 0xFFFF
    third: Key = (key >> 4) & 0xFFF
    fourth: Key = other >> 52
    fifth: Key = (other >> 4) & 0xFFFFFFFFFFFF
    return f"{first:08x}-{second:04x}-8{third:03x}-8{fourth:03x}-{fifth:012x}".encode()
