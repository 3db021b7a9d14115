"""How many were there at once, from when each came and went."""

from __future__ import annotations

import numpy as np

from meshsim.measure.grid import Floats


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
