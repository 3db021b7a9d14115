"""What became of the control plane's pushes, and how long proxies disagreed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshsim.measure.result import Result
from meshsim.mesh.control_plane import Push

SHOWN = 1000
"""So many pushes are reported one by one."""


@dataclass(frozen=True)
class PushSummary(Result):
    """One push: when the first change that it brings was made, and when it began, s.

    Of the `proxies` that were connected then, `arrived` had it, or a newer one, by the end, the first at
    `first` and the last at `last`; `nacked` refused a part of it.
    """

    version: int
    changed: float
    begun: float
    proxies: int
    arrived: int
    nacked: int
    first: float | None
    last: float | None


@dataclass(frozen=True)
class PushesSummary(Result):
    """All pushes of one run, the first of several.

    Attributes:
        total: pushes.
        nacked: refusals by proxies.
        convergence_mean, convergence_max: from a change to its arrival at a proxy, s.
        disagreed: how long some proxies had what others did not have yet, s.
        each: one by one, the first 1,000.
    """

    total: int
    nacked: int
    convergence_mean: float | None
    convergence_max: float | None
    disagreed: float
    each: list[PushSummary]


def pushes(found: Sequence[Push], end: float) -> PushesSummary | None:
    """The summary of the pushes of a run that ended at a time, s; None without any."""
    if not found:
        return None
    lasted = np.concatenate([np.array(push.arrivals) - push.changed for push in found])
    return PushesSummary(
        total=len(found),
        nacked=sum(push.nacked for push in found),
        convergence_mean=float(lasted.mean()) if len(lasted) else None,
        convergence_max=float(lasted.max()) if len(lasted) else None,
        disagreed=_disagreed(found, end),
        each=[_one(push) for push in found[:SHOWN]],
    )


def _one(push: Push) -> PushSummary:
    first, last = (min(push.arrivals), max(push.arrivals)) if push.arrivals else (None, None)
    return PushSummary(
        push.version, push.changed, push.begun, push.proxies, len(push.arrivals), push.nacked, first, last
    )


def _disagreed(found: Sequence[Push], end: float) -> float:
    """How long there was a push that some had, and some had not: those that never got it, to the end."""
    total, until = 0.0, 0.0
    for push in sorted((push for push in found if push.arrivals), key=lambda push: min(push.arrivals)):
        lacking = len(push.arrivals) < push.proxies
        first, last = max(until, min(push.arrivals)), end if lacking else max(push.arrivals)
        total += max(0.0, last - first)
        until = max(until, last)
    return total
