"""Whose the calls of a program are: which of the requests that it is serving each of them is made for.

A program knows nothing of meshsim, and gets to see none of its headers. Its sidecar keeps what came with a
request, and finds it again by the tracing headers that a program passes on, as in any mesh:

| a call brings | it is made for |
|---|---|
| a `traceparent` that names the attempt's server span as its parent | that attempt |
| one of its trace (tracing libraries name spans of their own), or its `x-request-id` | that attempt, \
if no other of the trace is unanswered |
| neither; or two such attempts are there | nobody knows: it has a key of its own, and that is reported |

The n-th call of an attempt to an endpoint has the key of the n-th call to it in the script of the endpoint
that is served, so what is drawn for it is what a simulation draws.
"""

from __future__ import annotations

from collections import Counter, deque

from meshsim.live.context import Context, Trace
from meshsim.live.proxy.route import ListenerRoute
from meshsim.live.troubles import trouble
from meshsim.mesh.spans import server_span
from meshsim.random import REPEAT, SCRIPT, Key, derive

KEPT = 4096
"""Attempts that are over, for whose callers a program may still be working."""

UNPAIRED = (
    "a program's call could not be paired with a request that it serves, so its draws are none of a"
    " simulation's: pass on traceparent, tracestate and x-request-id of the request that a call is made for"
)


class Serving:
    """An attempt that a program is, or was, serving.

    `number` is its own in its call, from 0; `root` is the key of the client's request, `half` the upper
    half of its trace's id, `extra` whether a retry or a hedge is in its ancestry, `span` its server span,
    `names` its trace (32 hex) and its `x-request-id`, `endpoint` what it asked for, `calls` what the program
    has made for it, by number of the route.
    """

    def __init__(
        self, key: Key, number: int, context: Context, trace: str, half: Key, root: Key, request_id: bytes,
        endpoint: str,
    ) -> None:  # fmt: skip
        self.key = key
        self.span = server_span(key)
        self.context = context
        self.extra = context.extra or number > 0
        self.trace = trace
        self.half = half
        self.root = root
        self.names: tuple[object, ...] = (trace, request_id)
        self.endpoint = endpoint
        self.calls: Counter[int] = Counter()

    def call(self, route: ListenerRoute) -> Context:
        """The context of the program's next call on a route."""
        number = self.calls[route.mesh_route.number]
        self.calls[route.mesh_route.number] += 1
        steps = route.steps[self.endpoint]
        if number < len(steps):
            index, repetition = steps[number]
            key = derive(self.key, SCRIPT + index)
            if repetition > 0:
                key = derive(key, REPEAT + repetition)
        else:  # more than the script has
            key = derive(derive(self.key, SCRIPT + route.beyond), number)
        context = self.context
        return Context(key, context.start, self.extra, context.sampled, context.priority)


class Pairing:
    """What one program is serving."""

    def __init__(self) -> None:
        self._by_span: dict[Key, Serving] = {}
        self._by_name: dict[object, list[Serving]] = {}
        self._over: deque[Serving] = deque()

    def begin(self, serving: Serving) -> None:
        """An attempt goes to the program."""
        self._by_span[serving.span] = serving
        for name in serving.names:
            self._by_name.setdefault(name, []).append(serving)

    def end(self, serving: Serving, answered: bool) -> None:
        """It is over; where it was not answered, the program may go on with it all the same."""
        if answered:
            self._forget(serving)
        self._over.append(serving)
        if len(self._over) > KEPT:
            oldest = self._over.popleft()
            self._forget(oldest)
            if self._by_span.get(oldest.span) is oldest:
                del self._by_span[oldest.span]

    def _forget(self, serving: Serving) -> None:
        """Its names stand for it no longer."""
        for name in serving.names:
            found = self._by_name.get(name, [])
            if serving in found:
                found.remove(serving)
                if not found:
                    del self._by_name[name]

    def find(self, trace: Trace | None, trace_id: str, request_id: bytes) -> Serving | None:
        """The attempt that a call with these headers is made for; None, and a trouble, if unknown."""
        if trace is not None and trace.parent in self._by_span:
            return self._by_span[trace.parent]
        for name in (trace_id, request_id):
            found = self._by_name.get(name, ())
            if name and len(found) == 1:
                return found[0]
        trouble(UNPAIRED)
        return None
