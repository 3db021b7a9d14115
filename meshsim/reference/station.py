"""Stations, where work waits for a worker: the workers of a replica, and those of a sidecar.

A station is what ``simpy.Resource`` is: ``yield station.request()``, then ``station.release()``. It differs
in two points. The waiting room goes by rank (0 for all: first in, first out; falling: last in, first out),
and a worker that is released is with the next in line at once, not an event later.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count

import simpy

from meshsim.random import Constant, Distribution, Key
from meshsim.reference.clock import Clock, Steps
from meshsim.scenario.model import Proxy
from meshsim.units import UNLIMITED

Levels = list[tuple[float, int, int]]
"""(time, busy workers, waiting) after each change."""


class Station:
    """Workers, and a waiting room in order of rank."""

    def __init__(self, clock: Clock, workers: int, levels: Levels | None = None) -> None:
        self.clock = clock
        self.workers = workers
        self.busy = 0
        self.waiting: list[tuple[int, int, simpy.Event]] = []  # heap: rank, order of coming, gives the worker
        self._order = count()
        self._levels = levels
        self._note()

    def request(self, rank: int = 0) -> simpy.Event:
        """Ask for a worker: the event happens when one is there. The lowest rank is next, then the oldest."""
        turn = self.clock.event()
        if self.busy < self.workers:
            self.busy += 1
            turn.succeed()
        else:
            heappush(self.waiting, (rank, next(self._order), turn))
        self._note()
        return turn

    def release(self) -> None:
        """Give a worker back; it takes the next in line."""
        if self.waiting:
            heappop(self.waiting)[2].succeed()
        else:
            self.busy -= 1
        self._note()

    def withdraw(self, turn: simpy.Event) -> None:
        """Leave the waiting room."""
        self.waiting = [entry for entry in self.waiting if entry[2] is not turn]
        heapify(self.waiting)
        self._note()

    def overtaken(self, rank: int) -> bool:
        """Whether one that comes now with this rank would be served before one that waits."""
        return any(rank < other for other, _, _ in self.waiting)

    def _note(self) -> None:
        if self._levels is not None:
            self._levels.append((self.clock.now, self.busy, len(self.waiting)))


class Sidecar:
    """An instance's proxy: every request and response, in and out, is one pass through the same station."""

    def __init__(self, clock: Clock, proxy: Proxy | None) -> None:
        self.clock = clock
        self.time: Distribution = Constant(0.0) if proxy is None else proxy.time.build()
        self.workers = UNLIMITED if proxy is None else proxy.workers
        self.station = Station(clock, self.workers)

    def cross(self, key: Key, purpose: int) -> Steps[None]:
        """Pass through; without time and without limit there is nothing to pass.

        NOTE: A pass is a process of its own. One who is interrupted while waiting for it leaves, but the pass
        is completed all the same, as the proxy has the bytes already.
        """
        if isinstance(self.time, Constant) and self.time.mean == 0.0 and self.workers >= UNLIMITED:
            return
        yield self.clock.process(self._pass(self.time.draw(key, purpose)))

    def shake(self, time: float) -> Steps[None]:
        """The pass of a handshake, which takes so long even where others take no time."""
        yield self.clock.process(self._pass(time))

    def restart(self) -> None:
        """Forget all passes under way, as when the replica goes down."""
        self.station = Station(self.clock, self.workers)

    def _pass(self, time: float) -> Steps[None]:
        station = self.station
        yield station.request()
        yield self.clock.timeout(time)
        station.release()
