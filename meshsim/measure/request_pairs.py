"""Request by request: the same requests in two runs, compared one by one.

A request's numbers are keyed to its place in its load, so request n of load l is the same in both runs as
long as that load is: it arrives at the same time, and needs the same service times wherever it is served. The
requests of a closed load come when its users have their answers, at other times in each run: they have no
partners; nor have those of a load in which the two scenarios differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from meshsim.measure.grid import Floats, Ints, Truths, number
from meshsim.measure.intervals import Interval
from meshsim.measure.latency import enough
from meshsim.measure.records import Records, Requests
from meshsim.measure.result import Result
from meshsim.scenario.model import Scenario

CLOSE = 1e-9
"""Latencies no further apart are the same, s."""
RESIDUALS = (0.01, 0.1, 0.5, 0.9, 0.99)


def pairable(a: Scenario, b: Scenario) -> tuple[list[int], list[str]]:
    """The indices of the loads with the same requests in both; and for each other load why it has not."""
    found, reasons = [], []
    for index, (one, other) in enumerate(zip_longest(a.load, b.load)):
        load, single = f"load[{index}]", "so its requests can't be paired one by one."
        if one is None or other is None:
            reasons.append(f"{load} is in {'A' if one else 'B'} only, so its requests have no partners.")
        elif one != other:
            reasons.append(f"{load} is not the same in both, {single}")
        elif one.users is not None:
            when = "its users send when they have their answers, at other times in A than in B"
            reasons.append(f"{load} is closed: {when}, {single}")
        else:
            found.append(index)
    return found, reasons


def _paired(a: Records, b: Records, loads: Sequence[int], start: float, end: float) -> tuple[Ints, Ints]:
    """The rows of the same requests in both runs, by load and rank; those that begin in [start, end)."""
    nothing = np.zeros(0, np.int64)
    first, second = [nothing], [nothing]
    for load in loads:
        one, other = (np.flatnonzero(run.requests.load == load) for run in (a, b))
        first.append(one[: len(other)])
        second.append(other[: len(one)])
    rows, partners = np.concatenate(first), np.concatenate(second)
    begun = a.requests.start[rows]
    inside = (begun >= start) & (begun < end)
    return rows[inside], partners[inside]


@dataclass(frozen=True)
class RequestCounts(Result):
    """How requests fared in B, compared with themselves in A.

    A request without success (a failure, or no answer by the end of the run) is worse than any with it: those
    `rescued` succeed in B only, those `lost` in A only, those `failed` in neither.
    """

    count: int
    rescued: int
    faster: int
    same: int
    slower: int
    lost: int
    failed: int


@dataclass(frozen=True)
class RequestPairs(RequestCounts):
    """Of one pair of runs; `difference` is the mean latency in B minus that in A, s, where both succeed."""

    difference: float | None


@dataclass(frozen=True)
class AllRequestPairs(RequestCounts):
    """Of all pairs of runs; `difference` has an interval over the runs; None where a run has none."""

    difference: Interval | None


def compare_requests(a: Records, b: Records, loads: Sequence[int], start: float, end: float) -> RequestPairs:
    """Compares the requests that begin in [start, end), s, of two runs with the same seed.

    `loads` are the indices of those whose requests are the same in both.
    """
    first, second = _paired(a, b, loads, start, end)
    assert np.array_equal(a.requests.start[first], b.requests.start[second]), "they are the same requests"
    late_a, late_b = _latencies(a.requests, first), _latencies(b.requests, second)
    good_a, good_b = np.isfinite(late_a), np.isfinite(late_b)
    both = good_a & good_b
    change = late_b[both] - late_a[both]
    change[np.abs(change) <= CLOSE] = 0.0  # what rounding leaves is no difference, in the mean either
    return RequestPairs(
        count=len(first),
        rescued=number(good_b & ~good_a),
        faster=number(change < 0.0),
        same=number(change == 0.0),
        slower=number(change > 0.0),
        lost=number(good_a & ~good_b),
        failed=number(~good_a & ~good_b),
        difference=float(change.mean()) if len(change) else None,
    )


def _latencies(requests: Requests, rows: Ints) -> Floats:
    """(n,) latencies of some requests; infinite without success."""
    status = requests.status[rows]
    late = (requests.end - requests.start)[rows]
    return np.where((status > 0) & (status < 400), late, np.inf)


@dataclass(frozen=True)
class Residuals(Result):
    """Live minus simulated latencies, s: mean and percentiles."""

    mean: float
    p01: float
    p10: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class AgreementNumbers(Result):
    """How two runs agree, request by request; all but the number of requests None where there are none.

    Attributes:
        requests: that have an answer in both runs.
        status_equal, attempts_equal: the share with the same status, with the same number of attempts.
        p50_error, p99_error: of all these; None where fewer than `LEAST_BEYOND` lie beyond.
        residuals: of those that ended in the same way after the same number of attempts.
    """

    requests: int
    status_equal: float | None = None
    attempts_equal: float | None = None
    p50_error: float | None = None
    p99_error: float | None = None
    residuals: Residuals | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The requests answered in both runs: (n,) latencies, s, and whether status and attempts are equal."""

    simulated: Floats
    live: Floats
    same_status: Truths
    same_attempts: Truths

    @property
    def same(self) -> Truths:
        """(n,) whether both ended in the same way after the same number of attempts."""
        return self.same_status & self.same_attempts

    @property
    def residuals(self) -> Floats:
        """(m,) live minus simulated latency, s, of those that are the `same`."""
        return np.asarray((self.live - self.simulated)[self.same])

    @property
    def numbers(self) -> AgreementNumbers:
        """The same in a few numbers."""
        count, rest = len(self.live), self.residuals
        if not count:
            return AgreementNumbers(0)
        quantiles = np.quantile(rest, RESIDUALS).tolist() if len(rest) else []
        return AgreementNumbers(
            requests=count,
            status_equal=float(self.same_status.mean()),
            attempts_equal=float(self.same_attempts.mean()),
            p50_error=self._error(0.5),
            p99_error=self._error(0.99),
            residuals=Residuals(float(rest.mean()), *quantiles) if len(rest) else None,
        )

    def _error(self, q: float) -> float | None:
        """Of a percentile; None where the requests are too few for it."""
        if not enough(len(self.live), q):
            return None
        return float(np.quantile(self.live, q) / np.quantile(self.simulated, q) - 1.0)


def agreement(simulated: Records, live: Records, loads: Sequence[int], start: float, end: float) -> Agreement:
    """Pairs the requests that begin in [start, end), s, of two runs with the same arrivals, by open loads.

    The live run may have been cut short.
    """
    first, second = _paired(simulated, live, loads, start, end)
    a, b = simulated.requests, live.requests
    answered = (a.status[first] > 0) & (b.status[second] > 0)
    first, second = first[answered], second[answered]
    return Agreement(
        simulated=(a.end - a.start)[first],
        live=(b.end - b.start)[second],
        same_status=np.asarray(a.status[first] == b.status[second]),
        same_attempts=np.asarray(a.attempts[first] == b.attempts[second]),
    )
