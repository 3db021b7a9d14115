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
        counts: (cells,) numbers by the names in :data:`COUNTS`.
        ended: latencies of what was completed.
        present: (cells,) mean number present.
    """

    counts: dict[str, Ints]
    ended: Ended
    present: Floats

    def joined(self, starts: Ints, width: Floats) -> BinnedFlow:
        """The same in wider bins, of which each begins with a bin of these, the first with 0.

        `starts` are their (wide bins,) numbers, `width` has the (bins,) widths so far, s.
        """
        bins, wide = len(width), added(width, starts)
        place = np.searchsorted(starts, np.arange(bins), side="right") - 1
        present = added(self.present.reshape(-1, bins) * width, starts)
        ended = replace(
            self.ended,
            cell=self.ended.cell // bins * len(starts) + place[self.ended.cell % bins],
            total=None if self.ended.total is None else added(self.ended.total, starts, bins).ravel(),
        )
        return BinnedFlow(
            {name: added(cells, starts, bins).ravel() for name, cells in self.counts.items()},
            ended,
            np.divide(present, wide, out=np.zeros_like(present), where=wide > 0).ravel(),
        )


def added(amounts: NDArray[Any], starts: Ints, bins: int | None = None) -> NDArray[Any]:
    """Amounts by bins added up to wider bins, along the last axis; cells are cut into `bins` first."""
    cut = amounts if bins is None else amounts.reshape(-1, bins)
    return np.asarray(np.add.reduceat(cut, starts, axis=-1))


def fitted(table: NDArray[Any], bins: int) -> NDArray[Any]:
    """(members, some bins) as (members, `bins`): those beyond are added to the last."""
    result = np.zeros((len(table), bins), table.dtype)
    known = min(bins, table.shape[1])
    result[:, :known] = table[:, :known]
    result[:, -1] += table[:, bins:].sum(axis=1)
    return result
