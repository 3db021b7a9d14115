"""Request by request: what a change does to each request, not only to their statistics.

The numbers of a request are keyed to where it stands in its load, so request n of load l is the same request
in both runs as long as that load is: it arrives at the same time, and wherever it is served it needs the same
service times. A closed load's requests come when its users have their answers, at other times in each run, so
they have no partners; nor have those of a load that the two scenarios write differently.

A request without a good answer (a failure, or none by the end of the run) is worse than one with any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from meshsim.measure.grid import Floats
from meshsim.measure.records import Records
from meshsim.scenario.model import Scenario

CLOSE = 1e-9
"""Latencies no further apart are the same, s."""


@dataclass(frozen=True, slots=True)
class RequestPairs:
    """How requests fared in B, compared with themselves in A.

    Attributes:
        rescued: answered well in B, not in A.
        faster, same, slower: answered well in both, and sooner in B, at the same time, later.
        lost: answered well in A, not in B.
        failed: answered well in neither.
        difference: latency in B minus that in A, mean over the requests answered well in both, s; None
            where there are none.
    """

    rescued: int
    faster: int
    same: int
    slower: int
    lost: int
    failed: int
    difference: float | None

    @property
    def count(self) -> int:
        """How many pairs."""
        return sum(getattr(self, each.name) for each in fields(self) if each.name != "difference")


def pairable(a: Scenario, b: Scenario) -> tuple[list[int], list[str]]:
    """Which loads have the same requests in both scenarios.

    Returns:
        The indices of these loads; and of each other load a sentence that says why not.
    """
    found, reasons = [], []
    for index in range(max(len(a.load), len(b.load))):
        if index >= min(len(a.load), len(b.load)):
            only = "A" if index < len(a.load) else "B"
            reasons.append(f"load[{index}] is in {only} only, so its requests have no partners.")
        elif a.load[index] != b.load[index]:
            reasons.append(
                f"load[{index}] is not the same in both, so its requests can't be paired one by one."
            )
        elif a.load[index].users is not None:
            reasons.append(
                f"load[{index}] is closed: its users send when they have their answers, at other times in A"
                " than in B, so its requests can't be paired one by one."
            )
        else:
            found.append(index)
    return found, reasons


def pair(a: Records, b: Records, loads: Sequence[int], start: float, end: float) -> RequestPairs:
    """Compares the requests of two runs with the same seed.

    Args:
        a: a run.
        b: another with the same seed.
        loads: indices of the loads whose requests are the same in both.
        start: requests that begin before it don't count, s.
        end: nor do those that begin then or later, s.
    """
    sides = [_latencies(records, loads, start, end) for records in (a, b)]
    count = [len(side) for side in sides]
    assert count[0] == count[1], f"one run has {count[0]} requests of the same loads, the other {count[1]}"
    first, second = sides
    good_a, good_b = np.isfinite(first), np.isfinite(second)
    both = good_a & good_b
    change = second[both] - first[both]
    same = np.abs(change) <= CLOSE
    change[same] = 0.0  # what rounding leaves is no difference, in the mean either
    return RequestPairs(
        rescued=_number(good_b & ~good_a),
        faster=_number(~same & (change < 0)),
        same=_number(same),
        slower=_number(~same & (change > 0)),
        lost=_number(good_a & ~good_b),
        failed=_number(~good_a & ~good_b),
        difference=float(change.mean()) if len(change) else None,
    )


def _number(which: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> int:
    return int(np.count_nonzero(which))


def _latencies(records: Records, loads: Sequence[int], start: float, end: float) -> Floats:
    """(n,) latencies of the requests, load by load, in order of arrival; infinite without a good answer."""
    rows = records.requests
    inside = (rows.start >= start) & (rows.start < end)
    good = (rows.status > 0) & (rows.status < 400)
    latency = np.where(good, rows.end - rows.start, np.inf)
    return np.concatenate([latency[inside & (rows.load == index)] for index in loads])
