"""Sidecars: stations that every request and response of their instance passes.

A sidecar is a queue like any other: so many workers, first in, first out, unbounded. Where a pass costs
nothing by configuration there is no queue and no event.
"""

from __future__ import annotations

from collections import deque

from meshsim.mesh.clock import Clock, Event
from meshsim.random import Distribution, Key


class Dataplane:
    """What lies between an instance and its links; without sidecars, nothing."""

    def enter(self, event: Event, step: int, key: Key, purpose: int, now: float) -> None:
        """Has `event.fire(step, …)` called when the pass, drawn as (key, purpose), is over."""
        event.fire(step, now)

    def drop(self) -> None:
        """The instance has gone down: whatever is inside is lost."""


class Pass(Event):
    """One traversal, waiting or in progress; stale once its sidecar has been dropped."""

    sidecar: Sidecar
    event: Event
    step: int
    lasts: float
    dropped: bool

    def __init__(self, sidecar: Sidecar, event: Event, step: int, lasts: float) -> None:
        self.sidecar = sidecar
        self.event = event
        self.step = step
        self.lasts = lasts
        self.dropped = False

    def fire(self, step: int, now: float) -> None:
        if not self.dropped:
            self.sidecar.passed(self, now)
            self.event.fire(self.step, now)


class Sidecar(Dataplane):
    """A proxy beside one instance.

    Attributes:
        time: of one pass.
        workers: passes at once.
        working: passes in progress.
        waiting: passes to come, in order.
    """

    clock: Clock
    time: Distribution
    workers: int
    working: dict[Pass, None]
    waiting: deque[Pass]

    def __init__(self, clock: Clock, time: Distribution, workers: int) -> None:
        self.clock = clock
        self.time = time
        self.workers = workers
        self.working = {}
        self.waiting = deque()

    def enter(self, event: Event, step: int, key: Key, purpose: int, now: float) -> None:
        one = Pass(self, event, step, self.time.draw(key, purpose))
        if len(self.working) < self.workers:
            self.start(one, now)
        else:
            self.waiting.append(one)

    def start(self, one: Pass, now: float) -> None:
        """A worker takes a pass."""
        self.working[one] = None
        self.clock.at(now + one.lasts, one, 0)

    def passed(self, one: Pass, now: float) -> None:
        """A pass is over; its worker takes the next."""
        del self.working[one]
        if self.waiting:
            self.start(self.waiting.popleft(), now)

    def drop(self) -> None:
        for one in self.working:
            one.dropped = True
        self.working = {}
        self.waiting = deque()
