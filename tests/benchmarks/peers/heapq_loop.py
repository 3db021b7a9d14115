"""A plain heapq callback loop, as one writes it without any library.

Events are tuples on a heap. A request is nothing but the time at which it was sent: stations hold their
workers by count, so that nobody needs to know which request is where.
"""

from __future__ import annotations

import platform
from collections import deque
from heapq import heappop, heappush
from random import Random

from common import Run, System, main


class Loop:
    """The clock: callbacks at absolute times; where times are equal, in the order of scheduling."""

    __slots__ = ("heap", "now", "number")

    def __init__(self) -> None:
        self.heap: list = []
        self.now = 0.0
        self.number = 0

    def at(self, time, callback, argument) -> None:
        """Calls back with the argument at a time."""
        self.number = number = self.number + 1
        heappush(self.heap, (time, number, callback, argument))

    def run(self) -> None:
        """Until nothing is left to do."""
        heap = self.heap
        while heap:
            self.now, _, callback, argument = heappop(heap)
            callback(argument)


class Station:
    """Workers behind a queue. A worker is held until the stations below have answered."""

    __slots__ = ("below", "draw", "free", "loop", "rate", "reply", "waiting")

    def __init__(self, loop: Loop, draw, workers: int, mean: float, below: Station | None) -> None:
        self.loop, self.draw = loop, draw
        self.free, self.rate, self.below = workers, 1.0 / mean, below
        self.waiting: deque[float] = deque()
        self.reply = None  # of whoever calls this station
        if below is not None:
            below.reply = self.answered

    def call(self, sent: float) -> None:
        """A request arrives."""
        if self.free:
            self.free -= 1
            self.loop.at(self.loop.now + self.draw(self.rate), self.worked, sent)
        else:
            self.waiting.append(sent)

    def worked(self, sent: float) -> None:
        """Its own work is done."""
        if self.below is None:
            self.answered(sent)
        else:
            self.below.call(sent)

    def answered(self, sent: float) -> None:
        """The whole call is done: the worker takes the next request."""
        if self.waiting:
            self.loop.at(self.loop.now + self.draw(self.rate), self.worked, self.waiting.popleft())
        else:
            self.free += 1
        self.reply(sent)


def build(system: System, requests: int, seed: int) -> Run:
    """The stations from the last to the first, and the arrivals."""
    draw, loop, latencies = Random(seed).expovariate, Loop(), []
    entry = None
    for each in reversed(system.stations):
        entry = Station(loop, draw, each.workers, each.mean, entry)
    entry.reply = lambda sent: latencies.append(loop.now - sent)

    def arrive(left: int) -> None:
        if left > 1:
            loop.at(loop.now + draw(system.rate), arrive, left - 1)
        entry.call(loop.now)

    def run() -> list[float]:
        loop.at(draw(system.rate), arrive, requests)
        loop.run()
        return latencies

    return run


if __name__ == "__main__":
    main("heapq loop", platform.python_version(), {"callbacks": build})
