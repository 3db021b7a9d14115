"""When a run has forgotten that it began empty: MSER-5.

The first requests of a run meet empty queues and are faster than any later one will be; averaged in,
they flatter the mesh. MSER drops the beginning of a series at the point where the rest gives the most
exact mean: it minimises the squared standard error of what is kept, so it gives up bias as long as that
costs less than the observations it throws away. The 5 is the size of the batches whose means it looks at.

Where it fails: it looks for *one* steady state. In a run whose events or profile change the load, or
whose queues grow to the end, there is none; the minimum then tends to lie at the limit of half the run,
and :class:`Warmup` says that it was not found.

Source:
    White, Cobb and Spratt, A Comparison of Five Steady-State Truncation Heuristics for Simulation,
    WSC 2000. White and Robinson, The problem of the initial transient (again), or why MSER works,
    Journal of Simulation 4 (2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshsim.measure.grid import Floats
from meshsim.measure.records import Records

BATCH = 5


@dataclass(frozen=True, slots=True)
class Warmup:
    """What MSER-5 found: how many bins of the run's grid to leave out, and where they end, s.

    `found` is False if the minimum lies at the limit, so that the run may hold no steady state.
    """

    bins: int
    time: float
    found: bool


def mser(means: Floats) -> int:
    """How many of (n,) batch means to leave out: the least number that minimises MSER, at most half."""
    count = len(means)
    if count < 2:
        return 0
    centred = means - means.mean()  # keeps the difference of large sums below exact
    kept = count - np.arange(count // 2 + 1)
    total = np.cumsum(centred[::-1])[kept - 1]
    squares = np.cumsum(centred[::-1] ** 2)[kept - 1]
    errors = np.maximum(squares - total**2 / kept, 0.0) / kept.astype(float) ** 2
    slack = 1e-12 * errors[0]  # rounding must not choose among equals
    return int(np.flatnonzero(errors <= errors.min() + slack)[0])


def find(records: Sequence[Records], duration: float) -> Warmup:
    """The warm-up of a run, or one common to its replications, of arrivals for `duration` s.

    Latencies are taken in order of start, those of all replications merged, in batches of five per
    replication: as if the replications' mean were one series. An unfinished request counts with the
    time it had waited when its run ended, which is less than its latency. The cut is rounded up to the next
    edge of the grid, and is at most half the run.
    """
    grid = records[0].grid
    start = np.concatenate([record.requests.start for record in records])
    order = np.argsort(start, kind="stable")
    start, waited = start[order], np.concatenate([_waited(record) for record in records])[order]
    batch = BATCH * len(records)
    count = len(start) // batch
    if count < 4:  # too little to separate a beginning from the rest
        return Warmup(0, 0.0, count > 0)
    dropped = mser(waited[: count * batch].reshape(count, batch).mean(axis=1))
    time = float(start[dropped * batch]) if dropped else 0.0
    most = grid.bin_at(duration / 2.0)
    bins = min(int(np.ceil((time - grid.origin) / grid.width - 1e-9)), most) if dropped else 0
    return Warmup(bins, float(grid.origin + bins * grid.width) if bins else 0.0, 2 * dropped < count - 1)


def _waited(record: Records) -> Floats:
    """(requests,) latencies, of unfinished requests up to the run's end."""
    end = np.where(np.isnan(record.requests.end), record.end, record.requests.end)
    return np.asarray(end - record.requests.start, dtype=np.float64)
