"""What the launcher writes to a process: whoever sends never waits, though that process may be stopped."""

from __future__ import annotations

import os
import select
import threading

HELD_BYTES = 64 << 20
"""Of what a process has not taken, at most."""
LOOK_MS = 100
"""Between two looks whether the line is still wanted."""


class Outgoing:
    """The writing end of a pipe. What it does not take at once, a thread writes as it is taken, in order."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self._open = True
        self._writes = False

    def send(self, data: bytes) -> bool:
        """Sends it, if the line is not ended; False if too much waits by now, and nothing will come of it."""
        with self._lock:
            if not self._open:
                return True
            self._unsent += data
            self._write()
            if self._unsent and not self._writes:
                self._writes = True
                threading.Thread(target=self._go_on, daemon=True).start()
            return len(self._unsent) <= HELD_BYTES

    def close(self) -> None:
        """Ends the line; what has not been taken is dropped."""
        with self._lock:
            if self._open and not self._writes:
                os.close(self._descriptor)
            self._open = False

    def _write(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: os.write(self._descriptor, self._unsent)]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # its last event reports that it has ended
            self._unsent.clear()

    def _go_on(self) -> None:
        """Writes what waits, until there is nothing left or the line is ended."""
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLOUT)
        while True:
            waiting.poll(LOOK_MS)
            with self._lock:
                if self._open:
                    self._write()
                if not self._open or not self._unsent:
                    self._writes = False
                    if not self._open:
                        os.close(self._descriptor)
                    return
