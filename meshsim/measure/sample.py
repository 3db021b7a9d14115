"""The measured part of one run, or of several replications put together.

A request belongs to the window by its start, and its calls and attempts follow it wherever in time they
fall; the time of workers and waiting rooms follows the clock over the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.measure import warmup
from meshsim.measure.records import Floats, Ints, Records
from meshsim.scenario.model import CLIENT, Scenario

Flags = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Window:
    """When a run is measured.

    Attributes:
        start, end: s; the window holds its start, not its end.
        first, last: bins of the grid from `first` up to and without `last`.
        found: False if an ``auto`` warm-up was looked for and not found.
    """

    start: float
    end: float
    first: int
    last: int
    found: bool = True

    @classmethod
    def of(cls, records: Sequence[Records], scenario: Scenario) -> Window:
        """From the warm-up's end to `duration`, or to the last whole bin of a run that was interrupted."""
        grid = records[0].grid
        if scenario.warmup == "auto":
            start = warmup.find(records, scenario.duration)
        else:
            start = warmup.Warmup(grid.first, float(scenario.warmup), True)
        end, last = scenario.duration, grid.last
        stopped = min((record.end for record in records if interrupted(record, scenario)), default=end)
        if stopped < end:
            last = max(grid.bin_at(stopped), start.bins)
            end = max(grid.origin + last * grid.width, start.time)
        return cls(start.time, end, start.bins, last, start.found)

    @property
    def length(self) -> float:
        """How long it is, s."""
        return self.end - self.start


def interrupted(record: Records, scenario: Scenario) -> bool:
    """Whether the user ended the run: it says so, or it ended before its arrivals did."""
    return record.interrupted or (not record.complete and record.end < scenario.duration)


@dataclass(frozen=True, slots=True)
class Requests:
    """(n,) columns of the measured client requests; `latency` is NaN for an unfinished one."""

    latency: Floats
    status: Ints
    flag: Flags


@dataclass(frozen=True, slots=True)
class Calls:
    """(n,) columns of the calls of measured requests; `latency` is NaN for an unfinished one."""

    edge: Ints
    latency: Floats
    status: Ints
    flag: Flags


@dataclass(frozen=True, slots=True)
class Attempts:
    """(n,) columns of the attempts of measured requests.

    `latency` is arrival to answer at the replica, NaN without an answer; `arrived` says whether there
    was an arrival; `kind` and `extra` as in the records.
    """

    edge: Ints
    replica: Ints
    kind: Ints
    extra: NDArray[np.bool_]
    arrived: NDArray[np.bool_]
    latency: Floats
    status: Ints


@dataclass(frozen=True, slots=True)
class Sample:
    """What is measured, of all replications together.

    Attributes:
        replications: how many runs it holds.
        time: measured time of all of them, s; rates divide by it.
        edges, replicas: as in the records.
        busy: (replicas,) worker-seconds.
        queued: (replicas,) attempt-seconds in the waiting room.
    """

    replications: int
    time: float
    edges: list[tuple[str, str]]
    replicas: list[tuple[str, str, str]]
    requests: Requests
    calls: Calls
    attempts: Attempts
    busy: Floats
    queued: Floats

    @classmethod
    def of(cls, records: Sequence[Records], window: Window) -> Sample:
        """The replications' rows of a window, one after the other."""
        bins = slice(window.first, window.last)
        return cls(
            replications=len(records),
            time=window.length * len(records),
            edges=records[0].edges,
            replicas=records[0].replicas,
            requests=Requests(*_join([_requests(record, window) for record in records])),
            calls=Calls(*_join([_calls(record, window) for record in records])),
            attempts=Attempts(*_join([_attempts(record, window) for record in records])),
            busy=np.sum([record.busy[:, bins].sum(axis=1) for record in records], axis=0),
            queued=np.sum([record.queued[:, bins].sum(axis=1) for record in records], axis=0),
        )

    def answered(self, service: str) -> Floats:
        """Latencies of the client's answered requests to a service it calls."""
        ours = self.calls.edge == self.edges.index((CLIENT, service))
        return np.asarray(self.calls.latency[ours & (self.calls.status > 0)], dtype=np.float64)


Columns = tuple[NDArray[Any], ...]


def _join(tables: Sequence[Columns]) -> Columns:
    """The same columns of several tables, joined end to end."""
    return tuple(np.concatenate(parts) for parts in zip(*tables, strict=True))


def _inside(start: Floats, window: Window) -> NDArray[np.bool_]:
    return (start >= window.start) & (start < window.end)


def _requests(record: Records, window: Window) -> Columns:
    rows = record.requests
    take = _inside(rows.start, window)
    return (rows.end - rows.start)[take], rows.status[take], rows.flag[take]


def _calls(record: Records, window: Window) -> Columns:
    rows = record.calls
    take = _inside(rows.request_start, window)
    return rows.edge[take], (rows.end - rows.start)[take], rows.status[take], rows.flag[take]


def _attempts(record: Records, window: Window) -> Columns:
    rows = record.attempts
    take = _inside(rows.request_start, window)
    return (
        rows.edge[take],
        rows.replica[take],
        rows.kind[take],
        rows.extra[take],
        ~np.isnan(rows.arrived[take]),
        (rows.answered - rows.arrived)[take],
        rows.status[take],
    )
