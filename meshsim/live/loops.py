"""Event loops for the live mesh, and an alarm that is precise on either of them.

Proxies run on uvloop, which moves the most bytes. Services and load generators sleep for drawn times, which
must not come out a millisecond long, so they run on asyncio's own loop over a selector that waits by
nanoseconds. What is off Linux gets asyncio's stock loop, precise to a millisecond.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Literal, Protocol

from meshsim.live import timerfd

Kind = Literal["fast", "precise"]


class Alarm(Protocol):
    """Calls one function when a time has come."""

    def set(self, when: float) -> None:
        """Rings at `when` of `time.monotonic`, s, or at once if that is past; replaces the one set before."""

    def cancel(self) -> None:
        """Does not ring, until it is set again."""

    def close(self) -> None:
        """Rings nevermore, and gives back what it holds."""


def new_loop(kind: Kind) -> asyncio.AbstractEventLoop:
    """``fast`` is uvloop where it is installed; ``precise`` keeps times to about 0.1 ms on Linux."""
    timerfd.wake_promptly()
    if kind == "fast":
        try:
            import uvloop  # noqa: PLC0415 - which services have no use for
        except ImportError:
            pass
        else:
            loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
            return loop
    if timerfd.AVAILABLE:
        from meshsim.live.precise import PreciseSelector  # noqa: PLC0415 - which needs Linux

        return asyncio.SelectorEventLoop(PreciseSelector())
    return asyncio.new_event_loop()


def new_alarm(loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> Alarm:
    """An alarm on a loop that calls `ring` when it is due."""
    return TimerAlarm(loop, ring) if timerfd.AVAILABLE else LoopAlarm(loop, ring)


class TimerAlarm(Alarm):
    """An alarm that is a descriptor which the loop reads (Linux)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._timer = timerfd.Timer()
        self._loop = loop
        self._ring = ring
        loop.add_reader(self._timer.fd, self._due)

    def set(self, when: float) -> None:
        self._timer.arm(when)

    def cancel(self) -> None:
        self._timer.disarm()

    def close(self) -> None:
        self._loop.remove_reader(self._timer.fd)
        self._timer.close()

    def _due(self) -> None:
        self._timer.disarm()  # which makes it unreadable, for less than a read
        self._ring()


class LoopAlarm(Alarm):
    """An alarm that is a timer of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        self.cancel()
        self._handle = self._loop.call_later(max(0.0, when - time.monotonic()), self._ring)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def close(self) -> None:
        self.cancel()
