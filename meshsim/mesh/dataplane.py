"""Sidecars: stations that every request and response of their instance passes.

A sidecar is a queue like any other: so many workers, first in, first out, unbounded. Where a pass costs
nothing by configuration there is no queue and no event.
"""

from __future__ import annotations

from collections import deque
from typing import final

from meshsim.mesh.clock import Clock, Event
from meshsim.random import Distribution, Key


class Dataplane:
    """What lies between an instance and its links; without sidecars, nothing.

    Attributes:
        absent: whether it is nothing, so that whoever asks this first need not enter.
    """

    absent: bool

    def __init__(self) -> None:
        self.absent = True

    def enter(self, event: Event, step: int, key: Key, purpose: int, now: float) -> None:
        """Has `event.fire(step, …)` called when the pass, drawn as (key, purpose), is over."""
        event.fire(step, now)

    def drop(self) -> None:
        """The instance has gone down: whatever is inside is lost."""


@final
class Pass(Event):
    """One traversal, waiting or in progress; stale once its sidecar has been dropped.

    Attributes:
        event, step: to fire when it is over.
        life: of the sidecar, when it came.
    """

    sidecar: Sidecar
    event: Event
    step: int
    lasts: float
    life: int

    def __init__(self, sidecar: Sidecar, event: Event, step: int, lasts: float) -> None:
        self.sidecar = sidecar
        self.event = event
        self.step = step
        self.lasts = lasts
        self.life = sidecar.life

    def fire(self, step: int, now: float) -> None:
        if self.life == self.sidecar.life:
            self.sidecar.passed(now)
            self.event.fire(self.step, now)


@final
class Sidecar(Dataplane):
    """A proxy beside one instance.

    Attributes:
        time: of one pass.
        workers: passes at once.
        working: passes in progress.
        waiting: passes to come, in order.
        life: grows when all that is inside is lost.
    """

    clock: Clock
    time: Distribution
    workers: int
    working: int
    waiting: deque[Pass]
    life: int

    def __init__(self, clock: Clock, time: Distribution, workers: int) -> None:
        self.absent = False
        self.clock = clock
        self.time = time
        self.workers = workers
        self.working = 0
        self.waiting = deque()
        self.life = 0

    def enter(self, event: Event, step: int, key: Key, purpose: int, now: float) -> None:
        one = Pass(self, event, step, self.time.draw(key, purpose))
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
