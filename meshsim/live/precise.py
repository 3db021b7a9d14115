"""The selector of the precise loop (Linux)."""

from __future__ import annotations

import selectors
import time

from meshsim.live import timerfd


class PreciseSelector(selectors.EpollSelector):
    """A selector that waits by nanoseconds: a timer among the descriptors ends the wait."""

    def __init__(self) -> None:
        super().__init__()
        self._timer = timerfd.Timer()
        self.register(self._timer.fd, selectors.EVENT_READ)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, after at most `timeout` s."""
        if timeout is None or timeout <= 0.0:
            ready = super().select(timeout)
        else:
            self._timer.arm(time.monotonic() + timeout)
            ready = super().select(None)
        for number, (key, _) in enumerate(ready):
            if key.fd == self._timer.fd:
                self._timer.clear()
                del ready[number]
                break
        return ready

    def close(self) -> None:
        """Gives its descriptors back."""
        self._timer.close()
        super().close()
