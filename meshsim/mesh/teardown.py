"""Frees what is still under way in a run that nobody wants any more: it was cut short, or ended at its limit.

A call knows its attempts, and each of them its call: cycles that end with the request, so a cut run leaves
some. Python's cycle collector does not look at compiled objects of requests (`meshsim.compiler.pool`), so
here each of them forgets all others but the one that waits for it; then no cycle is left.
"""

from __future__ import annotations

from meshsim.mesh.clock import Deadlines, Event, Timer
from meshsim.mesh.hosts import Host, Stream
from meshsim.mesh.mesh import Mesh
from meshsim.mesh.queue import Queue, Waiting
from meshsim.mesh.replica import Replica
from meshsim.mesh.station import WorkerStation


def take_apart(mesh: Mesh, found: list[Event | None]) -> None:
    """Has the mesh forget all objects of requests, and them each other.

    Args:
        mesh: whose requests.
        found: what was on the clock; what waits elsewhere is added.
    """
    for replica in mesh.replicas.values():
        take_waiting(replica, found)
    for proxy in mesh.proxies:
        if isinstance(proxy.station, WorkerStation):
            found += proxy.station.waiting
            proxy.station.drop()
        if proxy.agent is not None:
            found += proxy.agent.passing
            proxy.agent.passing = []
    if mesh.authority is not None and isinstance(mesh.authority.station, WorkerStation):
        found += mesh.authority.station.waiting
        mesh.authority.station.drop()
    for one in list(found):
        if isinstance(one, Deadlines):
            add_timers(one, found)
    for one in found:
        unlink_all(one)


def take_waiting(replica: Replica, found: list[Event | None]) -> None:
    """Takes what a replica holds, and what waits for a connection to it."""
    visit: Waiting | None = replica.eldest
    while visit is not None:
        found.append(visit)
        visit = visit.younger
    replica.eldest = None
    replica.youngest = None
    replica.queue = Queue()
    for each in replica.hosts:
        host: Host = each
        stream: Stream | None = host.head
        while stream is not None:
            found.append(stream)
            stream = stream.behind
        host.head = None
        host.tail = None


def add_timers(deadlines: Deadlines, found: list[Event | None]) -> None:
    """Adds the timers that are running."""
    timer: Timer | None = deadlines.head
    while timer is not None:
        found.append(timer)
        timer = timer.later


def unlink_all(one: Event | None) -> None:
    """Has an object, who waits for it, and so on, forget all others."""
    while one is not None:
        one = one.unlink()
