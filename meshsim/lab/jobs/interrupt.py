"""Ctrl-C during a long run: the first asks it to stop where its tables are whole, the second aborts.

A KeyboardInterrupt at any instruction could leave a row half written; so the first press is only noted, for
the engine's next report of progress. Before and after a run the program ends at once (`meshsim.leave`),
except where something half done must be put in order (`orderly`).
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from meshsim.leave import leave

TOGETHER = 0.5
"""Signals so close together are one press of Ctrl-C, s."""


@contextmanager
def orderly() -> Iterator[None]:
    """While there is something to put in order, Ctrl-C raises KeyboardInterrupt and does not just `leave`."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not leave:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, leave)


class Interrupt:
    """Whether and when (`last`, s) Ctrl-C was pressed; `on_first_press` is called once, to say so."""

    def __init__(self, on_first_press: Callable[[], None] | None = None) -> None:
        self.presses = 0
        self.on_first_press = on_first_press
        self.last = -TOGETHER

    @property
    def pressed(self) -> bool:
        """Whether the run is to stop and keep what it has."""
        return self.presses > 0

    def check(self) -> None:
        """Ends what is under way by a KeyboardInterrupt, if pressed."""
        if self.pressed:
            raise KeyboardInterrupt

    def give_up_if_pressed_twice(self) -> None:
        """Goes on raising what the engine has caught, if the user wants out."""
        if self.presses > 1:
            raise KeyboardInterrupt

    def notice(self, number: int, place: FrameType | None) -> None:
        """Handles the signal; one that comes to process and group alike is one press."""
        now = time.monotonic()
        if now - self.last < TOGETHER:
            return
        self.last = now
        self.presses += 1
        self.give_up_if_pressed_twice()
        if self.on_first_press is not None:
            with contextlib.suppress(RuntimeError, OSError):  # amid another print, or on a closed terminal
                self.on_first_press()


@contextmanager
def interruptible(
    on_first_press: Callable[[], None] | None = None, *, terminate: bool = False
) -> Iterator[Interrupt]:
    """Listens for Ctrl-C; only the main thread can, and only if Ctrl-C is not ignored on purpose.

    With `terminate`, SIGTERM, as `kill` and container runtimes send it, counts as a press too. Where somebody
    listens already, as a sweep does around its runs, it is one press for both.
    """
    wanted = [signal.SIGINT, signal.SIGTERM] if terminate else [signal.SIGINT]
    before = {number: signal.getsignal(number) for number in wanted}
    listener = getattr(before[signal.SIGINT], "__self__", None)
    if isinstance(listener, Interrupt):
        yield listener
        return
    interrupt = Interrupt(on_first_press)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    heard = {number: former for number, former in before.items() if former not in (signal.SIG_IGN, None)}
    for number in heard:
        signal.signal(number, interrupt.notice)
    try:
        yield interrupt
    finally:
        for number, former in heard.items():
            signal.signal(number, former)
