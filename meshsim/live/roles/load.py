"""The load generator: the client's requests, at the times at which a simulation sends them.

An open load is open: a request's time comes from the load alone, and its latency is counted from that time,
however late this process or the mesh is. So a mesh that stands still shows its latencies instead of hiding
them (no coordinated omission).

Source: Tene, How NOT to Measure Latency (2013): coordinated omission.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.live.child import Addresses, Role, Spec
from meshsim.live.clock import LiveClock
from meshsim.live.pages import PageTransport, page_proxy, page_routes
from meshsim.live.spans import SpanFeed
from meshsim.mesh.clock import Event
from meshsim.mesh.load import Client, Source
from meshsim.mesh.rows import RowRecorder
from meshsim.mesh.spans import CALL_SPAN
from meshsim.scenario.model import CLIENT
from meshsim.scenario.parts import sources
from meshsim.scenario.topology import Topology


class Settled(Event):
    """Nothing is under way, and nothing is to come."""

    def __init__(self, done: asyncio.Event) -> None:
        self.done = done

    def fire(self, step: int, now: float) -> None:
        self.done.set()


class LoadGenerator(Role):
    """The client of a scenario."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        scenario = spec.scenario
        self.done = asyncio.Event()
        self.clock = LiveClock(asyncio.get_event_loop(), ideal=True)
        self.recorder = RowRecorder(scenario.duration)
        topology = Topology(scenario)
        self.transport = PageTransport(self.clock, topology, spec.context, numbered=True)
        self.client = Client(self.clock, self.recorder, scenario.duration, scenario.tracing.sampling)
        self.client.watch = Settled(self.done)
        self.sources: list[Source] = []
        self.feed = SpanFeed(kept=False, wanted=spec.spans, kind=CALL_SPAN)
        proxy = page_proxy(self.clock, self.transport, self.feed.tracer, 0, spec.seed, self.recorder)
        for number, load in enumerate(scenario.load):
            routes = page_routes(proxy, topology, (CLIENT, load.to))
            self.sources.extend(sources(self.client, routes, spec.seed, number, load))

    async def connect(self, addresses: Addresses) -> None:
        self.transport.locate(addresses.urls)

    def start(self, base: float) -> None:
        self.clock.begin(base)
        for source in self.sources:
            source.begin()
        self.client.settled(0.0)

    def stats(self) -> dict[str, Any]:
        """How far it is."""
        return {"sent": self.recorder.requests, "active": self.client.unfinished}

    def rows(self) -> Mapping[str, NDArray[Any]]:
        recorder, count, sent = self.recorder, self.recorder.requests, self.transport
        keys, lag = np.zeros(count, dtype=np.uint64), np.zeros(count)
        row = np.array(sent.request_row)
        keys[row], lag[row] = np.array(sent.request_key), np.array(sent.lag)
        columns = ("load", "start", "end", "status")
        return {
            "requests.key": keys,
            "requests.route": np.asarray(recorder.call_route)[:count],  # each makes one call
            **{
                f"requests.{name}": np.asarray(getattr(recorder, f"request_{name}"))[:count]
                for name in columns
            },
            "lag": lag,
        }
