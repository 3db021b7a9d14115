"""The mesh's clock on SimPy's Environment, so that a user's own processes share its time.

NOTE: SimPy schedules delays; the mesh schedules absolute times, which a delay would round. So occurrences are
pushed on the environment's queue as SimPy's own events are: (time, priority, number, event).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from typing import Any

import simpy
from simpy.core import StopSimulation
from simpy.events import NORMAL

from meshsim.mesh.clock import Clock, Event


class Occurrence:
    """One firing of an event: the least that `Environment.step` asks of an event."""

    __slots__ = ("callbacks", "event", "step")

    _ok = True

    def __init__(self, callbacks: tuple[Callable[[Occurrence], None]], event: Event, step: int) -> None:
        self.callbacks = callbacks
        self.event = event
        self.step = step


class SimPyClock(Clock):
    """Schedules on a `simpy.Environment`.

    Attributes:
        env: the environment.
        fired: events of the mesh so far.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self._queue: list[Any] = env._queue
        self._number = env._eid
        self.fired = 0

        def fire(occurrence: Occurrence) -> None:
            self.fired += 1
            occurrence.event.fire(occurrence.step, env._now)

        self._callbacks = (fire,)

    def at(self, time: float, event: Event, step: int) -> None:
        heappush(self._queue, (time, NORMAL, next(self._number), Occurrence(self._callbacks, event, step)))

    def number(self) -> int:
        return next(self._number)

    def at_number(self, time: float, event: Event, step: int, number: int) -> None:
        heappush(self._queue, (time, NORMAL, number, Occurrence(self._callbacks, event, step)))

    def stop(self) -> None:
        raise StopSimulation(True)
