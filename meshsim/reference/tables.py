"""What the run leaves behind: rows, written as things happen, and made into columns at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from meshsim.measure.grid import Floats, Grid
from meshsim.measure.table import Rows, table_of
from meshsim.reference.station import Levels

NAN = math.nan


@dataclass(slots=True)
class RequestRow:
    """A client's request: what was asked, and what came of it. Columns as in :class:`Requests`."""

    load: int
    priority: int
    start: float
    end: float = NAN
    status: int = 0
    flag: str = ""
    attempts: int = 0
    version: str = ""
    endpoint: str = ""


@dataclass(slots=True)
class CallRow:
    """A call, made for a request. Columns as in :class:`Calls`."""

    request: RequestRow
    edge: int
    endpoint: int
    start: float
    extra: bool  # a retry or a hedge is among its ancestors
    end: float = NAN
    status: int = 0
    flags: list[str] = field(default_factory=list)  # what proxies did, in order
    attempts: int = 0  # sent ones
    version: str = ""

    @property
    def request_start(self) -> float:
        """When the request began, s."""
        return self.request.start

    @property
    def flag(self) -> str:
        """Its flags as one, once it has ended."""
        return ",".join(self.flags) if self.ended else ""

    @property
    def ended(self) -> bool:
        """Whether its caller has an answer, or wants none any more."""
        return not math.isnan(self.end)

    def add_flag(self, flag: str) -> None:
        """Say what a proxy did, once."""
        if flag and flag not in self.flags:
            self.flags.append(flag)


@dataclass(slots=True)
class AttemptRow:
    """A sent attempt. Columns as in :class:`Attempts`."""

    edge: int
    endpoint: int
    replica: int
    kind: int
    request_start: float
    sent: float
    extra: bool
    arrived: float = NAN
    answered: float = NAN
    status: int = 0
    ended: float = NAN


def columns(kind: type[Rows], rows: Sequence[object]) -> Rows:
    """Rows as arrays: those of :class:`Requests`, :class:`Calls` or :class:`Attempts`."""

    def column(name: str, _: type) -> list[object] | None:
        return [getattr(row, name) for row in rows] if rows and hasattr(rows[0], name) else None

    return table_of(kind, column, len(rows))


def integrals(levels: Sequence[Levels], grid: Grid, end: float) -> tuple[Floats, Floats]:
    """How long workers were busy, and attempts waiting, in each bin.

    Args:
        levels: of each replica.
        grid: the bins; they go on after its last as far as the run does.
        end: of the run, s.

    Returns:
        busy worker-seconds and waiting attempt-seconds, each (replicas, bins).
    """
    bins = min(grid.most, max(grid.last, math.ceil((end - grid.origin) / grid.width - 1e-9)))
    edges = np.minimum(grid.edges(bins), end)
    edges[-1] = max(edges[-1], end)
    busy, waiting = np.empty((len(levels), bins)), np.empty((len(levels), bins))
    for row, replica in enumerate(levels):
        steps = np.array([*replica, (end, 0, 0)], np.float64)
        busy[row] = _integral(steps[:, 0], steps[:, 1], edges)
        waiting[row] = _integral(steps[:, 0], steps[:, 2], edges)
    return busy, waiting


def _integral(times: Floats, levels: Floats, edges: Floats) -> Floats:
    """Between each edge and the next, the integral of a level that steps at `times`."""
    area = np.concatenate(([0.0], np.cumsum(levels[:-1] * np.diff(times))))
    return np.diff(np.interp(edges, times, area))
