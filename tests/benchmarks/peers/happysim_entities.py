"""happysim. Two forms: `server`, its component for a queue with workers, which frees a worker before it
forwards a request; and `resource`, an entity of one's own whose requests are processes that hold grants
of resources.
"""

from __future__ import annotations

import random
from importlib.metadata import version

from common import CannotExpressError, Run, System, main
from happysimulator import Entity, ExponentialLatency, Resource, Server, Simulation, Sink, Source

DRAIN = 10.0
"""Seconds that the last requests have; a source never ends by itself, even after its last event."""


class Mesh(Entity):
    """Stations that call each other: a request is a process that goes down the chain and back."""

    def __init__(self, system: System, pools: list[Resource]) -> None:
        super().__init__("mesh")
        self.tiers = [(pool, 1.0 / each.mean) for pool, each in zip(pools, system.stations, strict=True)]
        self.latencies: list[float] = []

    def handle_event(self, event):
        """The life of a request."""
        sent, grants = self.now, []
        for pool, rate in self.tiers:
            grants.append((yield pool.acquire()))
            yield random.expovariate(rate)
        for grant in grants:
            grant.release()
        self.latencies.append((self.now - sent).to_seconds())


def resources(system: System, requests: int, seed: int) -> Run:
    """A process a request."""
    random.seed(seed)
    pools = [Resource(f"pool {number}", each.workers) for number, each in enumerate(system.stations)]
    mesh = Mesh(system, pools)
    end = requests / system.rate
    source = Source.poisson(system.rate, mesh, stop_after=end)
    simulation = Simulation(sources=[source], entities=[mesh, *pools], duration=end + DRAIN)

    def run() -> list[float]:
        simulation.run()
        return mesh.latencies

    return run


def servers(system: System, requests: int, seed: int) -> Run:
    """A server and a sink."""
    if len(system.stations) > 1:
        raise CannotExpressError(
            "a Server gives its worker back before it forwards a request, and hears no answer"
        )
    random.seed(seed)
    sink, [station] = Sink(), system.stations
    server = Server("server", station.workers, ExponentialLatency(station.mean), downstream=sink)
    end = requests / system.rate
    source = Source.poisson(system.rate, server, stop_after=end)
    simulation = Simulation(sources=[source], entities=[server, sink], duration=end + DRAIN)

    def run() -> list[float]:
        simulation.run()
        return sink.latencies_s

    return run


if __name__ == "__main__":
    main("happysim", version("happysim"), {"resource": resources, "server": servers})
