"""Ctrl-C during a long run: the first asks it to stop where its tables are whole, the second gives up.

A KeyboardInterrupt at any instruction could leave a row half written; so the first press only leaves word,
which the engine's next report of progress takes up.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether the user has pressed Ctrl-C.

    Attributes:
        presses: how often.
    """

    def __init__(self) -> None:
        self.presses = 0

    @property
    def pressed(self) -> bool:
        """Whether the run is to stop and keep what it has."""
        return self.presses > 0

    def give_up_if_pressed_twice(self) -> None:
        """Goes on raising what the engine has caught, if the user wants out."""
        if self.presses > 1:
            raise KeyboardInterrupt

    def notice(self, number: int, place: FrameType | None) -> None:
        """Handles the signal."""
        self.presses += 1
        self.give_up_if_pressed_twice()


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Listens for Ctrl-C; only the main thread can, and only if Ctrl-C is not ignored on purpose."""
    interrupt = Interrupt()
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield interrupt
        return
    signal.signal(signal.SIGINT, interrupt.notice)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)
