"""How a run is read: the numbers that are compared with theory.

A quantile is checked by the share of latencies below it, which has no bias, unlike a sample's quantile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.measure.records import Records
from meshsim.scenario.model import Scenario

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One replication.

    Attributes:
        scenario: which.
        records: everything.
        summary: as `summary.json` has it.
    """

    scenario: Scenario
    records: Records
    summary: Mapping[str, Any]

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Which requests are measured."""
        start = self.records.requests.start
        return (start >= float(self.scenario.warmup)) & (start < self.scenario.duration)

    @property
    def latency(self) -> NDArray[np.float64]:
        """Of the measured requests, s."""
        rows = self.records.requests
        return np.asarray((rows.end - rows.start)[self.measured])

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which of the measured requests succeeded."""
        status = self.records.requests.status[self.measured]
        return np.asarray((status > 0) & (status < 400))

    @property
    def attempts(self) -> NDArray[np.bool_]:
        """Which attempts belong to measured requests."""
        start = self.records.attempts.request_start
        return (start >= float(self.scenario.warmup)) & (start < self.scenario.duration)


Reading = Callable[[Run], float]


@dataclass(frozen=True, slots=True)
class Mean:
    """A number of each replication, whose mean should be the expected one."""

    read: Reading


@dataclass(frozen=True, slots=True)
class Quantile:
    """The expected number should be the `p`-quantile of the latencies (of successes: `ok`)."""

    p: float
    ok: bool = False


@dataclass(frozen=True, slots=True)
class Variance:
    """`scale` times the variance over replications of a number should be the expected one."""

    read: Reading
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class AtMost:
    """A number of each replication that should not be above the expected one."""

    read: Reading


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that must hold in every replication, whatever the expected number is."""

    holds: Callable[[Run], bool]


Check = Mean | Quantile | Variance | AtMost | Fact


@dataclass(frozen=True, slots=True)
class Part:
    """A scenario and what its runs must show.

    Attributes:
        document: without `duration` and `warmup`.
        rate: requests per second, to make a duration of a number of requests.
        warm: warm-up, s.
        checks: by the name of the expected number, with the factor from its unit to seconds.
        requests: measured ones a replication, in the long set.
        fast: replications and requests in the fast set; None where it is not in it.
        replications: in the long set.
        duration: instead of what `requests` makes it, s.
        solved: whether `solve` must agree with the run, where it says anything exact.
        burst: how many requests share a rare event: 1 without queues, more with longer busy periods. Shares
            of events of which a run has fewer than a hundred bursts are not compared.
    """

    document: Document
    rate: float
    warm: float
    checks: Mapping[str, Check]
    requests: int = 4_500
    fast: tuple[int, int] | None = None
    replications: int = 24
    duration: float | None = None
    solved: bool = True
    burst: int = 10

    def scenario(self, requests: int) -> Scenario:
        """The scenario, long enough for so many measured requests."""
        duration = self.duration or self.warm + requests / self.rate
        times = {"duration": f"{duration!r}s", "warmup": f"{self.warm!r}s", "tracing": {"sampling": 0.0}}
        return Scenario.model_validate({**times, **self.document})


# ---- readings ---------------------------------------------------------------------------------------


def at(*path: str) -> Mean:
    """The number at a path of the summary; 0 where it is not there."""

    def read(run: Run) -> float:
        place: Any = run.summary
        for key in path:
            place = place.get(key, 0.0) if isinstance(place, Mapping) else place[key]
        return float(place or 0.0)

    return Mean(read)


def failed(kind: str) -> Mean:
    """The share of requests that failed in a way."""
    return Mean(lambda run: run.summary["failures"].get(kind, 0) / run.summary["requests"]["completed"])


def station(name: str) -> Mean:
    """Of service x."""
    return at("services", "x", name)


def _x(run: Run, name: str) -> float:
    return float(run.summary["services"]["x"][name])


WAIT = Mean(lambda run: _x(run, "queue_mean") / _x(run, "rate"))
NUMBER = Mean(lambda run: _x(run, "queue_mean") + _x(run, "busy_mean"))
SERVICE_TIME = Mean(lambda run: _x(run, "busy_mean") / _x(run, "rate"))
IDLE = Mean(lambda run: 1.0 - _x(run, "utilisation"))


def waited(workers: int) -> Mean:
    """The share of arrivals that found all workers of their replica busy."""

    def read(run: Run) -> float:
        rows, waits = run.records.attempts, []
        for replica in range(len(run.records.replicas)):
            mine = rows.replica == replica
            order = np.argsort(rows.arrived[mine], kind="stable")
            arrived, left = rows.arrived[mine][order], np.sort(rows.answered[mine])
            found = np.arange(len(arrived)) - np.searchsorted(left, arrived, side="right")
            waits.append((found >= workers)[run.attempts[mine][order]])
        return float(np.concatenate(waits).mean())

    return Mean(read)


def of_load(load: int, less: float) -> Mean:
    """Mean latency of a load's requests, less a constant, s."""
    return Mean(lambda run: float(run.latency[run.records.requests.load[run.measured] == load].mean()) - less)


def dropped_at(tau: float) -> Mean:
    """The share of attempts that left the waiting room at τ (the others that are cut end later)."""

    def read(run: Run) -> float:
        rows, mine = run.records.attempts, run.attempts
        stayed = (rows.answered - rows.arrived)[mine]
        return float(((rows.status[mine] == -1) & (np.abs(stayed - tau) < 1e-9)).mean())

    return Mean(read)


def tries(run: Run) -> NDArray[np.int64]:
    """Tries of each measured request."""
    return np.asarray(run.records.requests.attempts[run.measured])


RETRIED = Mean(lambda run: float((tries(run) > 1).mean()))
AT_FIRST = Mean(lambda run: float(run.latency[run.ok & (tries(run) == 1)].mean()))
HEDGED = Mean(lambda run: run.summary["attempts"]["hedges"] / run.summary["requests"]["completed"])


def slower_than(limit: float) -> Mean:
    """The share of requests that took longer."""
    return Mean(lambda run: float((run.latency > limit).mean()))


def share_of(version: str) -> Reading:
    """The share of requests that a version answered."""
    return lambda run: float((run.records.requests.version[run.measured] == version).mean())


def requests_to_eject(run: Run) -> NDArray[np.float64]:
    """How many attempts each host answered until it was ejected."""
    first: dict[int, float] = {}
    for time, _, replica in run.records.ejections:
        first.setdefault(replica, time)
    rows = run.records.attempts
    return np.array(
        [float(((rows.replica == host) & (rows.ended <= time)).sum()) for host, time in first.items()]
    )


def ejections_last(durations: list[float]) -> Fact:
    """Whether the times between ejections of the one host are these, up to the grid and the next error."""

    def holds(run: Run) -> bool:
        gaps = np.diff([time for time, _, _ in run.records.ejections])[: len(durations)]
        grid = run.scenario.policies["x"].outlier_detection
        assert grid is not None
        slack = grid.interval + 0.1
        return len(gaps) == len(durations) and all(
            0.0 <= gap - expected < slack for gap, expected in zip(gaps, durations, strict=True)
        )

    return Fact(holds)


def late(run: Run, since: float) -> NDArray[np.bool_]:
    """Requests that start in the last part of a run."""
    return np.asarray(run.records.requests.start >= since)


def works_again(since: float, expected: bool) -> Fact:
    """Whether all late requests succeed, or none."""

    def holds(run: Run) -> bool:
        ok = run.records.requests.status[late(run, since)] == 200
        return bool(ok.all() if expected else not ok.any())

    return Fact(holds)


def tries_per_second(since: float, until: float) -> Mean:
    """Attempts sent in a stretch of time."""

    def read(run: Run) -> float:
        sent = run.records.attempts.sent
        return float(((sent >= since) & (sent < until)).sum()) / (until - since)

    return Mean(read)
