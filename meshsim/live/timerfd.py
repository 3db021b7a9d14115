"""Linux's timer as a file descriptor: readable when it is due, to the nanosecond, in any event loop.

Event loops round: asyncio waits whole milliseconds, rounded up, and libuv counts in them. A descriptor that
becomes readable at an absolute time of the monotonic clock wakes either of them when it should.

Source: timerfd_create(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from math import ceil

AVAILABLE = sys.platform == "linux"
CLOCK_MONOTONIC, ABSOLUTE = 1, 1
CLOSE_ON_EXEC, NON_BLOCKING = 0o2000000, 0o4000
PR_SET_TIMERSLACK = 29
BILLION = 1_000_000_000


class _Spec(ctypes.Structure):
    """C's `struct itimerspec`."""

    _fields_ = [
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    ]


class Timer:
    """One timer; `fd` is readable once it is due, until it is armed again, disarmed or cleared.

    NOTE: by ctypes, since `os.timerfd_create` exists from Python 3.13 on only; a call costs 1 µs.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._set = library.timerfd_settime
        self._set.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self._spec = _Spec()
        self._reference = ctypes.byref(self._spec)
        self.fd: int = library.timerfd_create(CLOCK_MONOTONIC, CLOSE_ON_EXEC | NON_BLOCKING)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "no timer")

    def arm(self, when: float) -> None:
        """Due at `when` of `time.monotonic`, s; at once if that has passed."""
        spec = self._spec
        nanoseconds = max(ceil(when * BILLION), 1)  # 0 would disarm it
        spec.value_s, spec.value_ns = divmod(nanoseconds, BILLION)
        self._set(self.fd, ABSOLUTE, self._reference, None)

    def disarm(self) -> None:
        """Not due any more."""
        spec = self._spec
        spec.value_s = spec.value_ns = 0
        self._set(self.fd, ABSOLUTE, self._reference, None)

    def clear(self) -> None:
        """Not readable any more, where it was due."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)

    def close(self) -> None:
        """Gives the descriptor back."""
        os.close(self.fd)


def wake_promptly() -> None:
    """Has the kernel wake this process when it asked, and not up to 50 µs later to save power.

    Source: prctl(2), PR_SET_TIMERSLACK.
    """
    if AVAILABLE:
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)
