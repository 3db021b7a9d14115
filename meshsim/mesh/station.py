"""What a pass through a proxy waits for.

The workers of a proxy are a queue like any other: first in, first out, unbounded. Where a pass costs nothing
by configuration there is no queue and no event.
"""

from __future__ import annotations

from collections import deque
from typing import final

from meshsim.mesh.clock import Clock, Event
from meshsim.random import Distribution, Key


class Station:
    """A proxy that is not in the path, or whose passes cost nothing."""

    def enter(self, event: Event, step: int, key: Key, purpose: int, now: float) -> None:
        """Has `event.fire(step, …)` called when the pass, drawn as (key, purpose), is over."""
        event.fire(step, now)

    def drop(self) -> None:
        """The proxy has gone down: whatever is inside is lost."""


SPARES = 64
"""Passes that a station keeps to use again."""


@final
class Pass(Event):
    """One traversal, waiting or in progress; stale once its station has been dropped.

    Attributes:
        event, step: to fire when it is over.
        life: of the station, when it came.
        behind: the next spare one, if it is spare.
    """

    station: WorkerStation
    event: Event | None
    step: int
    lasts: float
    life: int
    behind: Pass | None

    def __init__(self, station: WorkerStation) -> None:
        self.station = station
        self.event = None
        self.step = 0
        self.lasts = 0.0
        self.life = 0
        self.behind = None

    def fire(self, step: int, now: float) -> None:
        station = self.station
        event = self.event
        self.event = None
        if self.life == station.life and event is not None:
            step = self.step
            if station.spares < SPARES:
                station.spares += 1
                self.behind = station.spare
                station.spare = self
            station.passed(now)
            event.fire(step, now)


@final
class WorkerStation(Station):
    """The workers of a proxy.

    Attributes:
        time: of one pass.
        workers: passes at once.
        working: passes in progress.
        waiting: passes to come, in order.
        life: grows when all that is inside is lost.
        spare: the first of `spares` passes that are over, to be used again.
    """

    clock: Clock
    time: Distribution
    workers: int
    working: int
    waiting: deque[Pass]
    life: int
    spare: Pass | None
    spares: int

    def __init__(self, clock: Clock, time: Distribution, workers: int) -> None:
        self.clock = clock
        self.time = time
        self.workers = workers
        self.working = 0
        self.waiting = deque()
        self.life = 0
        self.spare = None
        self.spares = 0

    def enter(self, event: Event, step: int, key: Key, purpose: int, now: float) -> None:
        one = self.spare
        if one is None:
            one = Pass(self)
        else:
            self.spare = one.behind
            self.spares -= 1
            one.behind = None
        one.event = event
        one.step = step
        one.lasts = self.time.draw(key, purpose)
        one.life = self.life
        if self.working < self.workers:
            self.working += 1
            self.clock.at(now + one.lasts, one, 0)
        else:
            self.waiting.append(one)

    def passed(self, now: float) -> None:
        """A pass is over; its worker takes the next."""
        if self.waiting:
            one: Pass = self.waiting.popleft()
            self.clock.at(now + one.lasts, one, 0)
        else:
            self.working -= 1

    def drop(self) -> None:
        self.life += 1
        self.working = 0
        self.waiting = deque()
