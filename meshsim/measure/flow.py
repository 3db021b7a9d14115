"""Counts and latencies of client, services and edges in bins of time: what the series are made of.

A *cell* is one member (a service, an edge) in one bin; cells are numbered member · bins + bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.measure.grid import Floats, Ints
from meshsim.measure.latency import grouped_quantiles

COUNTS = ("offered", "completed", "ok", "failed", "attempts", "retries", "hedges", "originals")
"""What is counted in each cell; originals are attempts with no retry or hedge in their ancestry."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Latencies of what ended in each cell.

    Attributes:
        cell: (n,) where it ended.
        latency: (n,) s; of a histogram, its buckets' values.
        times: (n,) how often each latency counts; None for once.
        total: (cells,) sum of the latencies, s; None if they are to be added up.
    """

    cell: Ints
    latency: Floats
    times: Ints | None = None
    total: Floats | None = None

    @classmethod
    def pooled(cls, parts: Sequence[Ended]) -> Ended:
        """Those of replications, which are all kept in the same way."""
        times = [part.times for part in parts if part.times is not None]
        total = [part.total for part in parts if part.total is not None]
        return cls(
            np.concatenate([part.cell for part in parts]),
            np.concatenate([part.latency for part in parts]),
            np.concatenate(times) if times else None,
            np.sum(total, axis=0) if total else None,
        )

    def quantiles(self, cells: int, quantiles: Sequence[float]) -> Floats:
        """(q, cells) quantiles, s; NaN where nothing ended."""
        return grouped_quantiles(self.latency, self.cell, cells, quantiles, self.times)

    def totals(self, cells: int) -> Floats:
        """(cells,) sums, s."""
        if self.total is not None:
            return self.total
        return np.asarray(np.bincount(self.cell, self.latency, minlength=cells), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class BinnedFlow:
    """What passes the members of one kind in one run.

    Attributes:
        counts: (members, bins) numbers by the names in :data:`COUNTS`.
        ended: latencies of what was completed.
        present: (members, bins) mean number present.
    """

    counts: dict[str, Ints]
    ended: Ended
    present: Floats

    def joined(self, starts: Ints, width: Floats) -> BinnedFlow:
        """The same in wider bins, of which each begins with a bin of these, the first with 0.

        `starts` are their (wide bins,) numbers, `width` has the (bins,) widths so far, s.
        """
        bins, wide, total = len(width), added(width, starts), self.ended.total
        place = np.searchsorted(starts, np.arange(bins), side="right") - 1
        present = added(self.present * width, starts)
        ended = replace(
            self.ended,
            cell=self.ended.cell // bins * len(starts) + place[self.ended.cell % bins],
            total=None if total is None else added(total.reshape(-1, bins), starts).ravel(),
        )
        return BinnedFlow(
            {name: added(numbers, starts) for name, numbers in self.counts.items()},
            ended,
            np.divide(present, wide, out=np.zeros_like(present), where=wide > 0),
        )


def added(amounts: NDArray[Any], starts: Ints) -> NDArray[Any]:
    """Amounts by bins added up to wider bins, along the last axis."""
    return np.asarray(np.add.reduceat(amounts, starts, axis=-1))


def fitted(table: NDArray[Any], bins: int) -> NDArray[Any]:
    """(members, some bins) as (members, `bins`): those beyond are added to the last."""
    result = np.zeros((len(table), bins), table.dtype)
    known = min(bins, table.shape[1])
    result[:, :known] = table[:, :known]
    result[:, -1] += table[:, bins:].sum(axis=1)
    return result


def occupancy(start: Floats, end: Floats, edges: Floats) -> Floats:
    """(bins,) mean number present between (bins + 1,) rising edges, s; 0 for a bin without length.

    `start` and `end` are (n,) times at which each came and left, s; NaN for one that never did.
    """
    came, gone = _elapsed(start, edges), _elapsed(end[~np.isnan(end)], edges)
    width = np.diff(edges)
    stayed = np.diff(came - gone)
    return np.divide(stayed, width, out=np.zeros(len(width)), where=width > 0)


def _elapsed(times: Floats, at: Floats) -> Floats:
    """For each moment, the sum over the times before it of how long ago they were."""
    ordered = np.sort(times)
    count = np.searchsorted(ordered, at)
    total = np.concatenate(([0.0], np.cumsum(ordered)))
    return np.asarray(count * at - total[count], dtype=np.float64)
