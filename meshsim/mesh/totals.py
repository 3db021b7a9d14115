"""Counts how everything was answered from the start of a run, warm-up included, as a proxy's counters do."""

from __future__ import annotations

from array import array
from typing import final

from meshsim.mesh.columns import integers

ANSWERS = 35
"""Bits that seven flags take."""
CODES = 1000
"""No HTTP status is as large."""


@final
class Totals:
    """What a recorder without rows counts of a whole run.

    Attributes:
        version_of: of each replica, the number of its version at its service, from 1; 0 where it has one.
        versions: one more than the highest of these.
        good_calls: those that were answered 200 without flags, by route · versions + version.
        good_visits: likewise, by place.
        other_calls: all others, by (number as above · CODES + status) << ANSWERS | flags; cancelled ones have
            status 0.
        other_visits: likewise, by place · CODES + status.
        ejections: by edge.
    """

    version_of: array[int]
    versions: int
    good_calls: array[int]
    good_visits: array[int]
    other_calls: dict[int, int]
    other_visits: dict[int, int]
    ejections: dict[int, int]

    def __init__(self, routes: int, places: int, version_of: list[int]) -> None:
        self.version_of = array("q", version_of)
        self.versions = 1 + max(version_of)
        self.good_calls = integers(routes * self.versions)
        self.good_visits = integers(places)
        self.other_calls = {}
        self.other_visits = {}
        self.ejections = {}

    def call(self, route: int, status: int, flags: int, host: int) -> None:
        """A call has its answer from a replica, or was answered by a proxy or cancelled: `host` is -1."""
        of = route * self.versions
        if host >= 0:
            of += self.version_of[host]
        if status == 200 and flags == 0:
            self.good_calls[of] += 1
            return
        number = (of * CODES + (status if status > 0 else 0)) << ANSWERS | flags
        self.other_calls[number] = self.other_calls.get(number, 0) + 1

    def visit(self, place: int, status: int) -> None:
        """A replica's side has answered, or dropped it."""
        if status == 200:
            self.good_visits[place] += 1
            return
        number = place * CODES + (status if status > 0 else 0)
        self.other_visits[number] = self.other_visits.get(number, 0) + 1

    def ejected(self, edge: int) -> None:
        """Outlier detection has ejected a host."""
        self.ejections[edge] = self.ejections.get(edge, 0) + 1
