"""An asyncio loop whose time is made up, and a mesh that runs on it by the live body's clock."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

from meshsim.engine.body import Body
from meshsim.live.clock import LiveClock
from meshsim.mesh.clock import Clock, Event
from meshsim.scenario.model import Scenario


class Nothing(selectors.SelectSelector):
    """Waits for no time: nothing comes from outside, so time goes on to the soonest timer."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout > 0.0:
            self.loop.virtual = max(self.loop.virtual, self.loop._scheduled[0].when())
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs as fast as it can."""

    def __init__(self) -> None:
        self.virtual = 0.0
        selector = Nothing()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 1e-12  # asyncio runs what is due within it; at 0 it would run nothing

    def time(self) -> float:
        return self.virtual


class LoopTimer:
    """An alarm that is a timer of the loop, at the very time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self.loop, self.ring = loop, ring
        self.handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        self.cancel()
        self.handle = self.loop.call_at(when, self.ring)

    def cancel(self) -> None:
        if self.handle is not None:
            self.handle.cancel()

    def close(self) -> None:
        self.cancel()


def virtual_clock(loop: VirtualLoop, ideal: bool) -> LiveClock:
    """The live body's clock on such a loop, beginning at 0."""
    clock = LiveClock(loop, ideal=ideal, alarm=LoopTimer, real_time=loop.time)
    clock.begin(0.0)
    return clock


class LoopBody(Body):
    """A scenario's mesh on an asyncio loop."""

    engine = "loop"

    def __init__(self, scenario: Scenario, ideal: bool) -> None:
        self.loop = VirtualLoop()
        self.clock = virtual_clock(self.loop, ideal)
        clock: Clock = self.clock
        super().__init__(scenario, None, clock, None, None)

    @property
    def now(self) -> float:
        return self.loop.virtual

    @property
    def events(self) -> int:
        return 0

    def unschedule(self) -> list[Event | None]:
        return []

    def advance(self, until: float) -> bool:
        stopped = False

        def stop() -> None:
            nonlocal stopped
            stopped = True
            self.loop.stop()

        self.clock.stopped = stop
        end = self.loop.call_at(until, self.loop.stop)
        self.loop.run_forever()
        end.cancel()
        return stopped


def simulate(scenario: Scenario, ideal: bool = True) -> Any:
    """One run on an asyncio loop."""
    body = LoopBody(scenario, ideal)
    try:
        return body.run()
    finally:
        body.loop.close()
