"""What a busy machine can have done to a validation, and no more.

Short of processors, a live run gets slower, never faster; by how much is seen from how late load generator
and services woke. The calibrations are live runs too, so the cost of a hop may have some of it, and then the
model is too slow. So the scenario is simulated with the least, the most, and half as late (a count may rise
and fall again) that hops can have cost. What lies between is explained: latencies, and time-outs and retries
from them; nothing beyond: no faster run, no status, no missing request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from meshsim.lab.validate.calibration import LEAST, Overheads, pooled
from meshsim.measure.disturbance import Evidence
from meshsim.measure.grid import Floats

WAKES = 6
"""Processes that a call wakes one after another: its caller's proxy, the callee's, the service, and back."""
SHARES = (0.0, 0.5, 0.99, 1.0)
"""Of all lags, those below each of the numbers that are known of them."""


def possible(
    calibrations: Sequence[Overheads], seen: Sequence[Evidence], live: Evidence
) -> tuple[Overheads, Overheads, Overheads]:
    """What hops can have cost in the `live` run: the least, more, the most; `seen` is of each calibration."""
    relieved = [
        {edge: np.maximum(np.sort(own) - _late(each, len(own)), 0.0) for edge, own in run.items()}
        for run, each in zip(calibrations, seen, strict=True)
    ]
    stolen = min(live.cpu_steal or 0.0, 0.99)
    dearest = _extreme(calibrations, max)

    def later(share: float) -> Overheads:
        slower = {edge: np.sort(own) / (1.0 - share * stolen) for edge, own in dearest.items()}
        return {edge: own + share * _late(live, len(own)) for edge, own in slower.items()}

    return _extreme(relieved, min), later(0.5), later(1.0)


def _extreme(runs: Sequence[Overheads], choose: Callable[..., Floats]) -> Overheads:
    """Each edge's overheads in the run where they were most, or least; of few calls there is no saying."""
    return {
        edge: choose([run[edge] for run in runs if len(run[edge]) >= LEAST] or [own], key=np.mean)
        for edge, own in pooled(runs).items()
    }


def _late(seen: Evidence, count: int) -> Floats:
    """(count,) by how much the lags can have made calls longer, s, in order."""
    lags = [(lag.p50, lag.p99, lag.max) for lag in (seen.load_lag, seen.service_lag) if lag is not None]
    worst = np.max([(0.0, 0.0, 0.0), *lags], axis=0)
    return np.asarray(WAKES * np.interp((np.arange(count) + 0.5) / count, SHARES, [0.0, *worst]))
