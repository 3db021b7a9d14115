"""A plain heapq callback loop, as one writes it without any library. Two forms.

`latencies`: events are tuples on a heap, and a request is nothing but the time at which it was sent. Stations
hold their workers by count, so that nobody needs to know which request is where.

`rows`: the same, and it leaves what meshsim's tables hold of such a system: a row of each visit to a station
(number of the request, when it arrived, began to be served, was answered), and each station's busy and
queued time.
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


def latencies_only(system: System, requests: int, seed: int) -> Run:
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


# ---- with rows --------------------------------------------------------------------------------------


class Visit:
    """A request at a station.

    Attributes:
        request: its number.
        above: the visit that waits for this one's answer, None for the first station's.
    """

    __slots__ = ("above", "arrived", "began", "request")

    def __init__(self, request: int, above: Visit | None, arrived: float) -> None:
        self.request, self.above, self.arrived = request, above, arrived


class Recorded:
    """A station that writes down each visit, and for how long how many are busy and queued."""

    __slots__ = (
        "below", "busy", "changed", "draw", "free", "loop", "queued", "rate", "reply", "rows", "waiting",
        "workers",
    )  # fmt: skip

    def __init__(self, loop: Loop, draw, workers: int, mean: float, below: Recorded | None) -> None:
        self.loop, self.draw, self.below = loop, draw, below
        self.workers, self.free, self.rate = workers, workers, 1.0 / mean
        self.waiting: deque[Visit] = deque()
        self.rows: list[tuple[int, float, float, float]] = []
        self.busy = self.queued = self.changed = 0.0
        self.reply = None  # of whoever calls this station
        if below is not None:
            below.reply = self.answered

    def count(self, now: float) -> None:
        """Adds up to now; the numbers are about to change."""
        since = now - self.changed
        self.busy += (self.workers - self.free) * since
        self.queued += len(self.waiting) * since
        self.changed = now

    def call(self, request: int, above: Visit | None) -> None:
        """A request arrives."""
        now = self.loop.now
        visit = Visit(request, above, now)
        self.count(now)
        if self.free:
            self.free -= 1
            self.begin(visit, now)
        else:
            self.waiting.append(visit)

    def begin(self, visit: Visit, now: float) -> None:
        """A worker takes it."""
        visit.began = now
        self.loop.at(now + self.draw(self.rate), self.worked, visit)

    def worked(self, visit: Visit) -> None:
        """Its own work is done."""
        if self.below is None:
            self.answered(visit)
        else:
            self.below.call(visit.request, visit)

    def answered(self, visit: Visit) -> None:
        """The whole call is done: the worker takes the next request."""
        now = self.loop.now
        self.count(now)
        self.rows.append((visit.request, visit.arrived, visit.began, now))
        if self.waiting:
            self.begin(self.waiting.popleft(), now)
        else:
            self.free += 1
        if visit.above is not None:
            self.reply(visit.above)


def rows_too(system: System, requests: int, seed: int) -> Run:
    """The same with stations that write down what happens."""
    draw, loop = Random(seed).expovariate, Loop()
    entry = None
    for each in reversed(system.stations):
        entry = Recorded(loop, draw, each.workers, each.mean, entry)

    def arrive(number: int) -> None:
        if number + 1 < requests:
            loop.at(loop.now + draw(system.rate), arrive, number + 1)
        entry.call(number, None)

    def run():
        loop.at(draw(system.rate), arrive, 0)
        loop.run()
        return lambda: [answered - arrived for _, arrived, _, answered in entry.rows]

    return run


if __name__ == "__main__":
    main("heapq loop", platform.python_version(), {"latencies": latencies_only, "rows": rows_too})
