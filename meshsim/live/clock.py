"""Scenario time on an asyncio loop: the clock of the live body.

The mesh schedules absolute times and orders simultaneous events by their numbers, so this clock keeps a
heap of its own and has one alarm set, for the soonest. The loop's own timers would round to milliseconds.

What is handed to an event as `now` depends on who asks. A service gets the time that was *meant*: its worker
begins the next job at the ideal end of the one before, so that what a wake-up comes too late does not add up
in the queue. A proxy gets the time that it *is*: it decides about a world that has gone on meanwhile.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from math import inf

from meshsim.live.loops import Alarm, new_alarm
from meshsim.mesh.clock import Clock, Event

NewAlarm = Callable[[asyncio.AbstractEventLoop, Callable[[], None]], Alarm]

DAY = 86400.0

LATE_AT_MOST = 200_000
"""So many delays are kept."""


class LiveClock(Clock):
    """Scenario time: seconds since the launcher's start, and a day before it until that is known.

    So whatever happens while the processes of a mesh come up happens before 0, and no time of the scenario is
    taken for another. An `ideal` clock gives events the time that was meant, and keeps in `lateness` how late
    each that had to be waited for was, s. `base` is the monotonic time of scenario time 0, s; `stopped` is
    called when there is nothing left to do.
    """

    base: float
    lateness: list[float]
    stopped: Callable[[], None]
    _waiting: list[tuple[float, int, Event, int]]
    _latest: float
    _armed: float
    _alarm: Alarm

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        ideal: bool,
        alarm: NewAlarm = new_alarm,
        real_time: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ideal = ideal
        self.real_time = real_time
        self.base = real_time() + DAY
        self.lateness = []
        self.stopped = lambda: None
        self._waiting = []
        self._numbers = 0
        self._earlier = 0  # numbers up to this one were given before the start was known
        self._moved = 0.0  # by which times of then have moved
        self._latest = -inf
        self._armed = inf
        self._busy = False
        self._alarm = alarm(loop, self._ring)

    def begin(self, base: float) -> None:
        """Scenario time 0 is at `base` of the monotonic clock, s; what is waiting keeps its instant."""
        self._moved = self.base - base
        self._earlier = self._numbers
        self._waiting = [
            (due + self._moved, number, event, step) for due, number, event, step in self._waiting
        ]
        self.base = base
        self._latest = -inf
        self._armed = inf
        self._arm()

    def now(self) -> float:
        """Scenario time, s; it never goes back."""
        now = self.real_time() - self.base
        if now > self._latest:
            self._latest = now
        return self._latest

    def at(self, time: float, event: Event, step: int) -> None:
        self.at_number(time, event, step, self.number())

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def at_number(self, time: float, event: Event, step: int, number: int) -> None:
        if number <= self._earlier:  # a time-out that has been running since before the start was known
            time += self._moved
        heapq.heappush(self._waiting, (time, number, event, step))
        if not self._busy:
            self._arm()

    def stop(self) -> None:
        self.stopped()

    def close(self) -> None:
        """Nothing is fired any more."""
        self._waiting.clear()
        self._alarm.close()

    def _arm(self) -> None:
        """Sets the alarm for the soonest event."""
        if self._waiting and self._waiting[0][0] < self._armed:
            self._armed = self._waiting[0][0]
            self._alarm.set(self.base + self._armed)

    def _ring(self) -> None:
        """Fires what is due, and what becomes due meanwhile."""
        self._armed = inf
        self._busy = True
        try:
            while self._waiting and self._waiting[0][0] <= self.real_time() - self.base:
                due, number, event, step = heapq.heappop(self._waiting)
                if self.ideal:
                    self._note(due)
                    self.fire(event, step, due, number)
                else:
                    self.fire(event, step, max(self.now(), due), number)
        finally:
            self._busy = False
            self._arm()

    def fire(self, event: Event, step: int, now: float, number: int) -> None:
        """Lets an event happen, which has this number among those that were scheduled."""
        event.fire(step, now)

    def _note(self, due: float) -> None:
        if len(self.lateness) < LATE_AT_MOST:
            self.lateness.append(self.real_time() - self.base - due)
