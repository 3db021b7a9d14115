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
    """A proxy that is not in the path, or whose passes cost nothing.

    Attributes:
        free: whether it is so; whoever asks this first need not enter.
    """

    def __init__(self) -> None:
        self.free = True

    def enter(self, event: Event, step: int, key: Key, purpose: int, now: float) -> None:
        """Has `event.fire(step, …)` called when the pass, drawn as (key, purpose), is over."""
        event.fire(step, now)

    def take(self, event: Event, step: int, lasts: float, now: float) -> None:
        """Has it called when a pass of this length, s, is over: not of one that is free."""
        raise NotImplementedError

    def withdraw(self, event: Event) -> bool:
        """Takes back the pass that is to fire this; whether it had not begun yet."""
        return False

    def drop(self) -> None:
        """The proxy has gone down: whatever is inside is lost."""


@final
class Pass(Event):
    """One traversal, waiting or in progress; stale once its station has been dropped.

    Attributes:
        event, step: to fire when it is over.
        life: of the station, when it came.
    """

    life: int

    def __init__(self, station: WorkerStation, event: Event, step: int, lasts: float) -> None:
        self.station = station
        self.event = event
        self.step = step
        self.lasts = lasts
        self.life = station.life

    def fire(self, step: int, now: float) -> None:
        if self.life == self.station.life:
            self.station.passed(now)
            self.event.fire(self.step, now)

    def unlink(self) -> Event | None:
        return self.event


@final
class WorkerStation(Station):
    """The workers of a proxy.

    Attributes:
        time: of one pass.
        workers: passes at once.
        working: passes in progress.
        waiting: passes to come, in order.
        length: how many those are: cheaper to ask than the queue.
        life: grows when all that is inside is lost.
    """

    waiting: deque[Pass]

    def __init__(self, clock: Clock, time: Distribution, workers: int) -> None:
        self.free = False
        self.clock = clock
        self.time = time
        self.workers = workers
        self.working = 0
        self.waiting = deque()
        self.length = 0
        self.life = 0

    def enter(self, event: Event, step: int, key: Key, purpose: int, now: float) -> None:
        self.take(event, step, self.time.draw(key, purpose), now)

    def take(self, event: Event, step: int, lasts: float, now: float) -> None:
        one = Pass(self, event, step, lasts)
        if self.working < self.workers:
            self.working += 1
            self.clock.at(now + one.lasts, one, 0)
        else:
            self.waiting.append(one)
            self.length += 1

    def withdraw(self, event: Event) -> bool:
        for one in self.waiting:
            if one.event is event:
                self.waiting.remove(one)
                self.length -= 1
                return True
        return False

    def passed(self, now: float) -> None:
        """A pass is over; its worker takes the next."""
        if self.length > 0:
            self.length -= 1
            one: Pass = self.waiting.popleft()
            self.clock.at(now + one.lasts, one, 0)
        else:
            self.working -= 1

    def drop(self) -> None:
        self.life += 1
        self.working = 0
        self.waiting = deque()
        self.length = 0
