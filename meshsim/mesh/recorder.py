"""Writes down what happens: rows of requests, calls and attempts, and integrals over time.

Policies and the objects of the mesh expose what they do; only this records it. Rows are written where they
begin and filled in as they go on, by their number.
"""

from __future__ import annotations

from array import array
from math import nan


class Gauge:
    """The integral of a quantity over time, in equal bins: how many worker-seconds were busy in each.

    Attributes:
        most: how many bins there are at most; the last one holds all the rest.
        value: the quantity now.
        since: when it last changed, s.
        bins: the integral per bin, s.
    """

    origin: float
    width: float
    most: int
    value: int
    since: float
    bins: array[float]

    def __init__(self, origin: float, width: float, most: int) -> None:
        self.origin = origin
        self.width = width
        self.most = most
        self.value = 0
        self.since = 0.0
        self.bins = array("d", [0.0])

    def add(self, change: int, now: float) -> None:
        """The quantity changes by `change` at `now`."""
        if self.value != 0:
            self.integrate(now)
        self.since = now
        self.value += change

    def integrate(self, now: float) -> None:
        """Adds what has passed since the last change, bin by bin."""
        since = self.since
        i = int((since - self.origin) / self.width)
        last = int((now - self.origin) / self.width)
        if last >= self.most:
            last = self.most - 1
        while last >= len(self.bins):
            self.bins.append(0.0)
        while i < last:
            edge = self.origin + (i + 1) * self.width
            if edge > since:
                self.bins[i] += self.value * (edge - since)
                since = edge
            i += 1
        if now > since:
            self.bins[last] += self.value * (now - since)


def integers() -> array[int]:
    """An empty column of 64-bit integers."""
    return array("q")


def floats() -> array[float]:
    """An empty column of floats."""
    return array("d")


class Recorder:
    """The tables of a run, column by column; `meshsim.measure.records` says what each means.

    Attributes:
        counting: how often each mechanism acted, for those who want to know what a run exercised.
    """

    request_load: array[int]
    request_start: array[float]
    request_end: array[float]
    request_status: array[int]
    request_flags: array[int]
    request_attempts: array[int]
    request_host: array[int]
    call_edge: array[int]
    call_request_start: array[float]
    call_start: array[float]
    call_end: array[float]
    call_status: array[int]
    call_flags: array[int]
    call_extra: array[int]
    attempt_edge: array[int]
    attempt_replica: array[int]
    attempt_kind: array[int]
    attempt_extra: array[int]
    attempt_request_start: array[float]
    attempt_sent: array[float]
    attempt_arrived: array[float]
    attempt_answered: array[float]
    attempt_status: array[int]
    attempt_ended: array[float]
    ejections: list[tuple[float, int, int]]

    def __init__(self) -> None:
        self.request_load = integers()
        self.request_start = floats()
        self.request_end = floats()
        self.request_status = integers()
        self.request_flags = integers()
        self.request_attempts = integers()
        self.request_host = integers()
        self.call_edge = integers()
        self.call_request_start = floats()
        self.call_start = floats()
        self.call_end = floats()
        self.call_status = integers()
        self.call_flags = integers()
        self.call_extra = integers()
        self.attempt_edge = integers()
        self.attempt_replica = integers()
        self.attempt_kind = integers()
        self.attempt_extra = integers()
        self.attempt_request_start = floats()
        self.attempt_sent = floats()
        self.attempt_arrived = floats()
        self.attempt_answered = floats()
        self.attempt_status = integers()
        self.attempt_ended = floats()
        self.ejections = []

    def request(self, load: int, now: float) -> int:
        """A request begins; its number."""
        self.request_load.append(load)
        self.request_start.append(now)
        self.request_end.append(nan)
        self.request_status.append(0)
        self.request_flags.append(0)
        self.request_attempts.append(0)
        self.request_host.append(-1)
        return len(self.request_start) - 1

    def request_ended(self, row: int, status: int, flags: int, attempts: int, host: int, now: float) -> None:
        """A request has its answer, made by replica `host` (-1: by a proxy)."""
        self.request_end[row] = now
        self.request_status[row] = status
        self.request_flags[row] = flags
        self.request_attempts[row] = attempts
        self.request_host[row] = host

    def call(self, edge: int, request_start: float, extra: bool, now: float) -> int:
        """A call begins; its number."""
        self.call_edge.append(edge)
        self.call_request_start.append(request_start)
        self.call_start.append(now)
        self.call_end.append(nan)
        self.call_status.append(0)
        self.call_flags.append(0)
        self.call_extra.append(extra)
        return len(self.call_edge) - 1

    def call_ended(self, row: int, status: int, flags: int, now: float) -> None:
        """A call has its answer; -1 for one that was cancelled."""
        self.call_end[row] = now
        self.call_status[row] = status
        self.call_flags[row] = flags

    def attempt(
        self, edge: int, replica: int, kind: int, extra: bool, request_start: float, now: float
    ) -> int:
        """An attempt is sent; its number."""
        self.attempt_edge.append(edge)
        self.attempt_replica.append(replica)
        self.attempt_kind.append(kind)
        self.attempt_extra.append(extra)
        self.attempt_request_start.append(request_start)
        self.attempt_sent.append(now)
        self.attempt_arrived.append(nan)
        self.attempt_answered.append(nan)
        self.attempt_status.append(0)
        self.attempt_ended.append(nan)
        return len(self.attempt_edge) - 1

    def attempt_at_replica(self, row: int, now: float) -> None:
        """An attempt has reached the replica's side of the link."""
        self.attempt_arrived[row] = now

    def attempt_answer(self, row: int, status: int, now: float) -> None:
        """The replica's side answers an attempt; -1 if the work is dropped or the answer thrown away."""
        self.attempt_answered[row] = now
        self.attempt_status[row] = status

    def attempt_over(self, row: int, now: float) -> None:
        """An attempt is over for its caller."""
        self.attempt_ended[row] = now

    def ejected(self, now: float, edge: int, replica: int) -> None:
        """Outlier detection of a proxy of this edge has ejected a replica."""
        self.ejections.append((now, edge, replica))
