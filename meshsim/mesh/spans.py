"""Spans of sampled requests: what a tracing back end would have seen.

Three kinds: `call` (a caller's call, all its tries together), `attempt` (one try as its caller sees it) and
`server` (its stay at the replica). A call's parent is the server span that made it; an attempt's is its
call; a server span's is its attempt. Ids are the keys of the draws, so the same request has the same trace
in every engine.
"""

from __future__ import annotations

from typing import final

from meshsim.mesh.request import Request
from meshsim.random import Key, derive

SERVER = 1 << 20
"""Tag of the server span's key among its attempt's children."""

CALL_SPAN = 0
ATTEMPT_SPAN = 1
SERVER_SPAN = 2


def server_span(attempt: Key) -> Key:
    """The key of the server span of an attempt."""
    return derive(attempt, SERVER)


@final
class Tracer:
    """Keeps the rows of sampled spans.

    Attributes:
        rows: (kind, half, trace, span, parent, route, replica, number, kind of attempt, extra, start, end,
        status, flags) of each; a trace's id is `half`, its upper 64 bits, and `trace`, its lower ones.
    """

    rows: list[tuple[int, Key, Key, Key, Key, int, int, int, int, bool, float, float, int, int]]

    def __init__(self) -> None:
        self.rows = []

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
        self.rows.append(
            (
                kind, request.half, request.key, span, parent, route, replica, number, attempt_kind, extra,
                start, end, status, flags,
            )
        )  # fmt: skip
