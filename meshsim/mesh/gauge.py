"""Integrals of what varies over time: busy workers, waiting work."""

from __future__ import annotations

from array import array
from typing import final

from meshsim.mesh.columns import floats, longer_floats


@final
class Gauge:
    """The integral of a quantity over time, in equal bins: how many worker-seconds were busy in each.

    Attributes:
        most: how many bins there are at most; the last one holds all the rest.
        value: the quantity now.
        since: when it last changed, s.
        room: bins so far.
        bins: the integral per bin, s.
    """

    bins: array[float]

    def __init__(self, origin: float, width: float, most: int) -> None:
        self.origin = origin
        self.width = width
        self.most = most
        self.value = 0
        self.since = 0.0
        self.room = 1
        self.bins = floats(1)

    def add(self, change: int, now: float) -> None:
        """The quantity changes by `change` at `now`."""
        if self.value != 0:
            self.integrate(now)
        self.since = now
        self.value += change

    def integrate(self, now: float) -> None:
        """Adds what has passed since the last change, bin by bin; what was before the first is left out."""
        since = self.since
        if since < self.origin:
            since = self.origin
            if now <= since:
                return
        i = int((since - self.origin) / self.width)
        last = int((now - self.origin) / self.width)
        if last >= self.most:
            last = self.most - 1
        if last >= self.room:
            room = 2 * last + 1
            room = room if room < self.most else self.most
            self.bins = longer_floats(self.bins, room)
            self.room = room
        while i < last:
            edge = self.origin + (i + 1) * self.width
            if edge > since:
                self.bins[i] += self.value * (edge - since)
                since = edge
            i += 1
        if now > since:
            self.bins[last] += self.value * (now - since)
