"""The process of one replica that meshsim plays itself: workers, queue and script, behind a real socket.

The same `Replica`, `Queue` and `Visit` as in a simulation, with the same draws: a visit's key follows from
the headers that its request brought. Time is the ideal one of the clock, so that a worker that is woken a
little late does not begin its next job late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim import random
from meshsim.live import Message
from meshsim.live.child import Addresses, Role, Spec
from meshsim.live.clock import LiveClock
from meshsim.live.context import (
    ATTEMPT_COUNT,
    TRACEPARENT,
    Context,
    attempt_key,
    parse_context,
    parse_trace,
    stream_key,
)
from meshsim.live.pages import PageTransport, carried, page_proxy, page_routes, pages
from meshsim.live.servers import Listening, schedule_outages
from meshsim.live.spans import SpanFeed
from meshsim.live.troubles import trouble
from meshsim.live.visits import Visits
from meshsim.live.wire import Handler, RequestHead, ServerConnection, ServerStream
from meshsim.live.wire.heads import Headers
from meshsim.measure.grid import Grid
from meshsim.mesh.attempt import FIRST, RETRY
from meshsim.mesh.gauge import Gauge
from meshsim.mesh.replica import Replica
from meshsim.mesh.request import Request
from meshsim.mesh.visit import GONE, Visit
from meshsim.policies.outcome import RESPONSE
from meshsim.scenario.events import schedule_events
from meshsim.scenario.parts import queue, workload
from meshsim.scenario.topology import Topology

HEADERS = [(b"content-type", b"text/plain")]

UNPAIRED = (
    "an Envoy can't know which request a program's call is made for, so its draws are none of a simulation's:"
    " run it with --proxy meshsim"
)


class Stay(Visit, ServerStream):
    """A request at this replica. Its body is of no interest, and it has time; its proxy has not.

    `sender` is the span of which it was sent here; `carried` are headers that its calls pass on.
    """

    def __init__(
        self, service: Service, connection: ServerConnection, endpoint: int, request: Request,
        context: Context, key: random.Key, number: int, sender: random.Key, passed_on: Headers,
    ) -> None:  # fmt: skip
        kind = RETRY if number else FIRST
        extra = context.extra or number > 0
        super().__init__(service.replica, endpoint, request, key, -1, number, kind, extra)
        self.service = service
        self.sender = sender
        self.carried = passed_on
        self.connection: ServerConnection | None = connection

    # ---- what its connection reports --------------------------------------------------------------------

    def complete(self) -> None:
        self.arrive(self.service.clock.now())

    def gone(self) -> None:
        self.connection = None
        self.learn(self.service.clock.now())

    # ---- what becomes of it -----------------------------------------------------------------------------

    def parent(self) -> random.Key:
        return self.sender

    def go_home(self, status: int, flag: int, cause: int, now: float) -> None:
        self.trace(status, flag, now)
        self._end(status, now, answer=cause == RESPONSE)  # else the replica is down

    def vanish(self, now: float) -> None:
        self.child = None
        self._end(-1, now, answer=False)

    def _end(self, status: int, now: float, answer: bool) -> None:
        self.step = GONE
        connection, self.connection = self.connection, None
        if connection is not None and answer:
            connection.answer(status, HEADERS, self.service.page)
        elif connection is not None:
            connection.abort()
        self.service.note(self, status, now)


class Service(Role, Handler):
    """One replica."""

    feed: SpanFeed

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        scenario = spec.scenario
        self.topology = Topology(scenario, spec.extra)
        own = self.topology.proxy(spec.id)
        (self.place,) = own.replicas
        self.clock = LiveClock(asyncio.get_event_loop(), ideal=True)
        self.feed = SpanFeed(kept=spec.keep, wanted=spec.spans)
        self.tracer = self.feed.tracer
        grid = Grid.of(scenario)
        self.gauges = [Gauge(grid.origin, grid.width, grid.most) for _ in range(2)]
        self.transport = PageTransport(self.clock, self.topology, spec.context)
        self.unseen = SpanFeed(kept=False, wanted=False)  # of its calls, which its proxy has
        proxy = page_proxy(self.clock, self.transport, self.unseen.tracer, own.number, spec.seed)
        for _, edge in self.topology.edges_of(own):
            routes = page_routes(proxy, self.topology, edge).values()
            proxy.routes.update({route.number: route for route in routes})
        self.replica = Replica(
            self.clock, proxy.recorder, self.tracer, self.place.number, spec.id,
            workload(self.place, self.topology), queue(self.place.deployment), proxy,
            self.gauges[0], self.gauges[1], self.place.number,
        )  # fmt: skip
        asked = pages(scenario.services[self.place.service]).values()
        self.endpoints = {page: number for number, page in enumerate(asked)}
        self.context_name = spec.context.encode()
        self.page = spec.id.encode() + b"\n"
        self.strangers = 0
        self.connections: set[ServerConnection] = set()
        self.listening = Listening(self, 0.0 if own.in_path else self.place.deployment.keep_alive)
        self.visits = Visits()

    # ---- requests -----------------------------------------------------------------------------------

    def begin(
        self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool
    ) -> ServerStream:
        now = self.clock.now()
        value = head.get(self.context_name)
        count = head.get(ATTEMPT_COUNT)
        context = parse_context(value)
        trace = parse_trace(head.get(TRACEPARENT))
        sampled = trace is not None and trace.sampled
        if context is None and (number := stream_key(value)):
            trouble(UNPAIRED)
            context = Context(number, now, False, sampled, 0)
        elif context is None:
            context, count = self._stranger(now, sampled), b""
        key, number = attempt_key(context, count)
        root = context.key if trace is None else trace.root
        request = Request(-1, root, context.start, context.priority, context.sampled)
        request.half = self.transport.half if trace is None else trace.half
        endpoint = self.endpoints.get((head.method, head.page), 0)
        sender = key if trace is None else trace.parent
        passed_on = carried(head, root)
        stay = Stay(self, connection, endpoint, request, context, key, number, sender, passed_on)
        if whole:
            stay.arrive(now)
        elif head.expects:
            connection.proceed()
        return stay

    def _stranger(self, now: float, sampled: bool) -> Context:
        """The context of a request that brings none: of somebody who is not in the scenario."""
        self.strangers += 1
        key = random.derive(self.replica.proxy.key, self.strangers)
        return Context(key, now, False, sampled, 0)

    def opened(self, connection: ServerConnection) -> None:
        self.connections.add(connection)

    def closed(self, connection: ServerConnection) -> None:
        self.connections.discard(connection)

    def abort_all(self) -> None:
        """Resets every connection: the pod is gone."""
        for connection in list(self.connections):
            connection.abort()

    def note(self, stay: Stay, status: int, now: float) -> None:
        """Writes a visit down."""
        if self.spec.keep:
            self.visits.add(stay.key, stay.arrived, now, status)

    # ---- a child's life -----------------------------------------------------------------------------

    async def listen(self) -> dict[str, Any]:
        return {"port": await self.listening.open(self.spec.host)}

    async def connect(self, addresses: Addresses) -> None:
        self.transport.locate(addresses.urls)

    def start(self, base: float) -> None:
        self.clock.begin(base)
        schedule_events(self.topology, self.clock, replicas={self.place.name: self.replica})
        now, back = self.clock.now(), self.listening.reopen
        schedule_outages(self.clock, self.spec.scenario, self.place, now, self._disappear, back)

    def hear(self, message: Message) -> None:
        if "down" in message:
            self.replica.go_down(self.clock.now())
            self._disappear()

    def _disappear(self) -> None:
        self.listening.disappear(self.abort_all)

    def stats(self) -> dict[str, Any]:
        """What is under way."""
        self.unseen.hold()
        active = self.replica.busy_gauge.value + self.replica.queue_gauge.value
        return {"active": active, "held": active}

    def rows(self) -> Mapping[str, NDArray[Any]]:
        now = self.clock.now()
        for gauge in self.gauges:
            gauge.add(0, now)
        return {
            **self.visits.rows(),
            "busy": np.array(self.gauges[0].bins),
            "queued": np.array(self.gauges[1].bins),
            "lag": np.array(self.clock.lateness),
            **self.feed.rows(),
        }
