"""Counters over time: how much of something there had been at each of several times."""

from __future__ import annotations

import numpy as np

from meshsim.measure.grid import Floats, Ints

AT_END = np.array([np.inf])
"""The one time that is after everything."""


def before(times: Floats, at: Floats) -> Ints:
    """Of each of n moments, the first of the (T,) `times` that is not before it; the last has the rest."""
    return np.minimum(np.searchsorted(times, at), len(times) - 1)


def counted(times: Floats, at: Floats, member: Ints, members: int) -> Floats:
    """(members, T) how many of n things, each of a `member`, had happened by each of the `times`, s."""
    cells = np.bincount(member * len(times) + before(times, at), minlength=members * len(times))
    return cells.reshape(members, len(times)).cumsum(axis=1).astype(np.float64)
