"""Server spans that a sidecar keeps for its replica: of requests that never get there, and of programs.

A service that meshsim plays itself keeps its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from meshsim.live.context import Context, attempt_key
from meshsim.mesh.attempt import FIRST, RETRY
from meshsim.mesh.request import Request
from meshsim.mesh.spans import SERVER_SPAN, Tracer, server_span
from meshsim.random import Key


@final
class ServerSpans:
    """Keeps them in a tracer; `replica` is the number of the proxy's own, `endpoints` are its service's."""

    _numbers: dict[str, int]

    def __init__(self, tracer: Tracer, replica: int, endpoints: Sequence[str]) -> None:
        self._tracer = tracer
        self._replica = replica
        self._numbers = {name: number for number, name in enumerate(endpoints)}

    def add(
        self, context: Context, count: bytes, half: Key, root: Key, endpoint: str, arrived: float,
        now: float, status: int, flags: int,
    ) -> None:  # fmt: skip
        """Keeps the span of a request with this context and ``x-envoy-attempt-count``.

        `half` and `root` are the halves of its trace's id.
        """
        key, number = attempt_key(context, count)
        request = Request(-1, root, context.start, context.priority, True)
        request.half = half
        self._tracer.add(
            SERVER_SPAN, request, server_span(key), key, self._numbers[endpoint], self._replica, number,
            RETRY if number else FIRST, context.extra or number > 0, arrived, now, status, flags,
        )  # fmt: skip
