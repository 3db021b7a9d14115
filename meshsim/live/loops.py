"""The event loop of the live mesh's processes, and an alarm that is precise on any loop.

Event loops round: asyncio waits whole milliseconds, rounded up, and libuv counts in them. A descriptor that
becomes readable at an absolute time of the monotonic clock wakes either of them when it should (Linux).

Source: timerfd_create(2); prctl(2), PR_SET_TIMERSLACK.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from math import ceil
from typing import Protocol

CLOCK_MONOTONIC, ABSOLUTE = 1, 1
CLOSE_ON_EXEC, NON_BLOCKING = 0o2000000, 0o4000
PR_SET_TIMERSLACK = 29
BILLION = 1_000_000_000


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop, which moves the most bytes, where it is installed; else asyncio's own."""
    if sys.platform == "linux":  # woken when asked, and not up to 50 µs later to save power
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class Alarm(Protocol):
    """Calls one function when a time has come."""

    def set(self, when: float) -> None:
        """Rings at `when` of `time.monotonic`, s, or at once if that is past; replaces the one set before."""

    def cancel(self) -> None:
        """Does not ring, until it is set again."""

    def close(self) -> None:
        """Rings nevermore, and gives back what it holds."""


def new_alarm(loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> Alarm:
    """An alarm on a loop that calls `ring` when it is due."""
    return TimerAlarm(loop, ring) if sys.platform == "linux" else LoopAlarm(loop, ring)


class TimerAlarm(Alarm):
    """An alarm that is a timer of the kernel's, to the nanosecond, whose descriptor the loop reads (Linux).

    NOTE: by ctypes, since `os.timerfd_create` exists from Python 3.13 on only; a call costs 1 µs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._set_timer = library.timerfd_settime
        self._set_timer.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self._times = (ctypes.c_long * 4)()  # C's itimerspec: s and ns between, s and ns to go
        self._reference = ctypes.byref(self._times)
        self._fd: int = library.timerfd_create(CLOCK_MONOTONIC, CLOSE_ON_EXEC | NON_BLOCKING)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "no timer")
        self._loop = loop
        self._ring = ring
        loop.add_reader(self._fd, self._due)

    def set(self, when: float) -> None:
        self._set_to(max(ceil(when * BILLION), 1))  # 0 would cancel it

    def cancel(self) -> None:
        self._set_to(0)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _set_to(self, nanoseconds: int) -> None:
        self._times[2], self._times[3] = divmod(nanoseconds, BILLION)
        self._set_timer(self._fd, ABSOLUTE, self._reference, None)

    def _due(self) -> None:
        self.cancel()  # which makes it unreadable, for less than a read
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
