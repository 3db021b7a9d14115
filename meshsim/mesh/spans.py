"""Spans of sampled requests: what a tracing back end would have seen.

Three kinds: `call` (a caller's call, all its tries together), `attempt` (one try as its caller sees it) and
`server` (its stay at the replica). A call's parent is the server span that made it; an attempt's is its
call; a server span's is its attempt. Ids are the keys of the draws, so the same request has the same trace
in every engine.
"""

from __future__ import annotations

from array import array
from typing import final

from meshsim.mesh.columns import floats, integers, longer_floats, longer_integers, longer_unsigned, unsigned
from meshsim.mesh.request import Request
from meshsim.random import Key, derive

SERVER = 1 << 20
"""Tag of the server span's key among its attempt's children."""

CALL_SPAN = 0
ATTEMPT_SPAN = 1
SERVER_SPAN = 2

SPAN_KEYS = 4
SPAN_TIMES = 2
SPAN_NUMBERS = 8
"""So many of each in a row of `Tracer`."""
SPANS = 64
"""Rows of a new tracer."""


def server_span(attempt: Key) -> Key:
    """The key of the server span of an attempt."""
    return derive(attempt, SERVER)


@final
class Tracer:
    """Keeps the spans of sampled requests as rows of three columns.

    Attributes:
        spans: rows so far.
        room: rows that there is room for.
        keys: SPAN_KEYS of each: the halves of its trace's id, the upper first; its own, and its parent's.
        times: SPAN_TIMES of each: start and end, s.
        numbers: SPAN_NUMBERS of each: kind, route, replica, number, kind of attempt, extra, status, flags.
    """

    room: int
    keys: array[Key]
    times: array[float]
    numbers: array[int]

    def __init__(self) -> None:
        self.spans = 0
        self.room = SPANS
        self.keys = unsigned(SPAN_KEYS * SPANS)
        self.times = floats(SPAN_TIMES * SPANS)
        self.numbers = integers(SPAN_NUMBERS * SPANS)

    def add(
        self, kind: int, request: Request, span: Key, parent: Key, route: int, replica: int, number: int,
        attempt_kind: int, extra: bool, start: float, end: float, status: int, flags: int,
    ) -> None:  # fmt: skip
        """Keeps one span.

        `kind` is CALL_SPAN, ATTEMPT_SPAN or SERVER_SPAN; `span` and `parent` are keys, `parent` 0 for a
        root; `route` is the number of the route, of a server span that of the endpoint at its service;
        `replica` is -1 for a call; `number` is the attempt's in its call, and how many were sent for a call;
        `extra` says whether a retry or hedge is the reason for it; `start` and `end` are in s.
        """
        row = self.spans
        if row == self.room:
            self.grow(2 * row)
        self.spans = row + 1
        place = SPAN_KEYS * row
        self.keys[place] = request.half
        self.keys[place + 1] = request.key
        self.keys[place + 2] = span
        self.keys[place + 3] = parent
        place = SPAN_TIMES * row
        self.times[place] = start
        self.times[place + 1] = end
        place = SPAN_NUMBERS * row
        self.numbers[place] = kind
        self.numbers[place + 1] = route
        self.numbers[place + 2] = replica
        self.numbers[place + 3] = number
        self.numbers[place + 4] = attempt_kind
        self.numbers[place + 5] = extra
        self.numbers[place + 6] = status
        self.numbers[place + 7] = flags

    def grow(self, room: int) -> None:
        """Makes room for so many spans."""
        self.keys = longer_unsigned(self.keys, SPAN_KEYS * room)
        self.times = longer_floats(self.times, SPAN_TIMES * room)
        self.numbers = longer_integers(self.numbers, SPAN_NUMBERS * room)
        self.room = room

    def forget(self, count: int) -> None:
        """Drops the first so many."""
        until = self.spans
        left = until - count
        self.keys[: SPAN_KEYS * left] = self.keys[SPAN_KEYS * count : SPAN_KEYS * until]
        self.times[: SPAN_TIMES * left] = self.times[SPAN_TIMES * count : SPAN_TIMES * until]
        self.numbers[: SPAN_NUMBERS * left] = self.numbers[SPAN_NUMBERS * count : SPAN_NUMBERS * until]
        self.spans = left
