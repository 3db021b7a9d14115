"""SimPy's environment, with what the mesh needs besides.

What takes no time happens at once, within what it follows from: see :meth:`Clock.schedule`.

SimPy's own ``timeout`` counts from now, and ``now + (time - now)`` may miss `time` by a rounding. Arrivals
and faults are given as absolute times, and two that are equal must stay equal: hence :meth:`Clock.at`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from heapq import heappush
from typing import Any, TypeVar

import simpy
from simpy.events import NORMAL, URGENT, EventPriority, Initialize

FIRST = EventPriority(URGENT - 1)
Result = TypeVar("Result")
Steps = Generator[simpy.Event, Any, Result]
"""What a process does: it yields the events that it waits for, and returns a result."""


class Clock(simpy.Environment):
    """The simulation's clock."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.working = 0  # processes under way that count as work (see :meth:`work`)

    def schedule(self, event: simpy.Event, priority: EventPriority = NORMAL, delay: float = 0.0) -> None:
        """What follows from an event happens at once, as in a plain call; only a time-out waits its turn."""
        if isinstance(event, simpy.Timeout):
            super().schedule(event, priority, delay)
        elif not isinstance(event, Initialize):
            self._at_once(event)

    def _at_once(self, event: simpy.Event) -> None:
        super().schedule(event, FIRST)
        self.step()

    def process(self, steps: Steps[Any]) -> simpy.Process:
        """Start a process; its first steps are taken before this returns."""
        process = simpy.Process(self, steps)
        assert process.target is not None
        self._at_once(process.target)
        return process

    def at(self, time: float, *, first: bool = False) -> simpy.Event:
        """An event at an absolute time, s; `first`: before all ordinary events of that time."""
        event = simpy.Event(self)
        event._ok = True
        event._value = None
        priority: EventPriority = URGENT if first else NORMAL
        heappush(self._queue, (time, priority, next(self._eid), event))
        return event

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Call `action` in `delay` seconds, in an event of its own.

        NOTE: A time-out could be a process that sleeps and acts. But a process takes an event to start, and
        timers that are due at the same instant must act in the order in which they were set.
        """
        self.timeout(delay).callbacks.append(lambda _: action())

    def work(self, steps: Steps[Any]) -> simpy.Process:
        """Start a process without whose end the run is not over (a load, a call, an attempt's journey)."""
        self.working += 1
        return self.process(self._counted(steps))

    def _counted(self, steps: Steps[Result]) -> Steps[Result]:
        result = yield from steps
        self.working -= 1
        return result
